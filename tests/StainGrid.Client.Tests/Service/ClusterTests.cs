using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using StainGrid.Contracts;
using StainGrid.TestSupport;

namespace StainGrid.Client.Tests;

/// <summary>The main job over both transports against a cluster of processes, one of which is killed.</summary>
public sealed class ClusterTests : IDisposable
{
    private const int Wells = 24;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task Dropped_connections_and_a_killed_silo_lose_no_event_over_either_transport()
    {
        await using var redis = await RedisServer.StartAsync(Stop);
        await using var first = await SiloAsync("first", redis);
        await using var second = await SiloAsync("second", redis);
        await using var proxy = new ConnectionProxy(UrlOf(first));
        using var http = new HttpStainGridClient(proxy.Address);
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Services.AddStainGridClient(options => (options.Redis, options.Cluster) = (redis.Address, "sdk"));
        using var host = builder.Build();
        await host.StartAsync(Stop);
        var orleans = host.Services.GetRequiredService<IStainGridClient>();
        Assert.IsType<OrleansStainGridClient>(orleans);

        ServedFixture.WritePlate(folder.File("images"), Wells, side: 192);
        string upload = await http.UploadAsync(folder.File("images"), null, Stop);
        string label = (await orleans.ListModelsAsync(Stop))[0].Labels[0];
        var submission = new PlateSubmission { Source = $"upload:{upload}", Pattern = ServedFixture.Pattern, Labels = [label], Stride = 32 };
        string plate = (await http.SubmitAsync(submission, "one", Stop)).PlateId;
        Assert.Equal(plate, (await orleans.SubmitAsync(submission, "one", Stop)).PlateId);

        int complete = 0;
        var byHttp = WatchAsync(http, change => Volatile.Write(ref complete, change.Status.FieldsComplete));
        var byOrleans = WatchAsync(orleans, _ => { });
        for (int drops = 1; drops <= 3; drops++)
        {
            await CompleteAsync(drops);
            int accepted = proxy.Accepted;
            proxy.Drop();
            for (var deadline = DateTime.UtcNow + Patience; proxy.Accepted == accepted; await Task.Delay(20, Stop))
                Assert.True(DateTime.UtcNow < deadline && !byHttp.IsFaulted, $"It does not connect again. {byHttp.Exception}");
        }

        Assert.InRange(Volatile.Read(ref complete), 3, Wells - 1);   // it is killed in the middle of the work
        await first.KillAsync();
        proxy.Target = UrlOf(second);
        proxy.Drop();

        var seen = (Http: await byHttp.WaitAsync(Patience, Stop), Orleans: await byOrleans.WaitAsync(Patience, Stop));
        foreach (var changes in new[] { seen.Http, seen.Orleans })
        {
            Assert.Equal((PlateState.Complete, Wells), (changes[^1].Status.State, changes[^1].Status.FieldsComplete));
            Watches.AssertWhole(changes, Wells);
        }

        Assert.True(proxy.Accepted > 4, $"Only {proxy.Accepted} connections were made.");
        var images = (Http: await http.ReadAsync(plate, "A/8/0", label, cancellationToken: Stop), Orleans: await orleans.ReadAsync(plate, "A/8/0", label, cancellationToken: Stop));
        Assert.Equal((192, 192), (images.Http.Width, images.Http.Height));
        Assert.Equal(images.Orleans.Pixels.ToArray(), images.Http.Pixels.ToArray());
        Assert.Equal(await TextAsync(orleans), await TextAsync(http));
        Assert.Equal(
            (await orleans.ListAsync(cancellationToken: Stop)).Select(one => (one.PlateId, one.State)), (await http.ListAsync(cancellationToken: Stop)).Select(one => (one.PlateId, one.State)));
        await host.StopAsync(Stop);

        async Task CompleteAsync(int count)
        {
            for (var deadline = DateTime.UtcNow + Patience; Volatile.Read(ref complete) < count; await Task.Delay(20, Stop))
                Assert.True(DateTime.UtcNow < deadline && !byHttp.IsFaulted, $"{count} fields were not complete in time. {byHttp.Exception}");
        }

        async Task<List<PlateChange>> WatchAsync(IStainGridClient client, Action<PlateChange> then)
        {
            var changes = new List<PlateChange>();
            await foreach (var change in client.WatchAsync(plate, cancellationToken: Stop))
            {
                changes.Add(change);
                then(change);
            }

            return changes;
        }

        async Task<string> TextAsync(IStainGridClient client)
        {
            using var reader = new StreamReader(await client.OpenAsync(plate, "staingrid-fields.csv", Stop));
            return await reader.ReadToEndAsync(Stop);
        }
    }

    private Task<SiloProcess> SiloAsync(string name, RedisServer redis) => SiloProcess.StartAsync(
        SiloProcess.CommandPath, name,
        [
            "--redis", redis.Address, "--cluster", "sdk", "--state", folder.File("state"), "--threads", "1",
            "--http", "127.0.0.1:0", "--results", folder.File("results"), "--uploads", folder.File("uploads"),
        ],
        new Dictionary<string, string>(), folder.Path, Stop);

    private static Uri UrlOf(SiloProcess silo) => new(silo.ReadyLine[silo.ReadyLine.IndexOf("http://", StringComparison.Ordinal)..].TrimEnd(')'));
}
