using System.Diagnostics;
using System.Text;
using Azure.Core;
using Azure.Storage.Blobs;
using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Faults.Tests;

public sealed class BlobFaultProxyTests : IAsyncLifetime
{
    private AzuriteServer _azurite = null!;
    private BlobFaultProxy _proxy = null!;
    private AzureBlobStore _direct = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _azurite = await AzuriteServer.StartAsync(Stop);
        _proxy = await BlobFaultProxy.StartAsync(_azurite.ConnectionString, Stop);
        _proxy.Seed(5);
        _proxy.SlowFrom = TimeSpan.FromMilliseconds(300);
        var container = new BlobContainerClient(_azurite.ConnectionString, "plates");
        await container.CreateAsync(cancellationToken: Stop);
        _direct = new AzureBlobStore(container);
    }

    public async ValueTask DisposeAsync()
    {
        await _proxy.DisposeAsync();
        await _azurite.DisposeAsync();
    }

    // A write enters the history just behind its answer.
    private async Task<IReadOnlyList<BlobWrite>> HistoryAsync(int count)
    {
        for (var patience = Stopwatch.StartNew(); _proxy.History.Count < count; await Task.Delay(10, Stop))
            Assert.True(patience.Elapsed < TimeSpan.FromSeconds(30));
        return [.. _proxy.History.OrderBy(write => write.Started)];
    }

    [Fact]
    public async Task Without_faults_the_store_is_as_it_is_and_the_writes_are_remembered()
    {
        var store = Through(retries: 0);
        await store.WriteAsync("a b/ü%.bin", "one"u8.ToArray(), Stop);
        string tag = await store.WriteIfAsync("p/A/1/0/.staingrid/commits/0.json", "{}"u8.ToArray(), null, Stop);
        await store.WriteIfAsync("p/A/1/0/.staingrid/commits/0.json", "{ }"u8.ToArray(), tag, Stop);
        await Assert.ThrowsAsync<BlobConflictException>(() => store.WriteIfAsync("p/A/1/0/.staingrid/commits/0.json", "x"u8.ToArray(), tag, Stop));
        await store.DeleteAsync("a b/ü%.bin", cancellationToken: Stop);
        Assert.Equal(["p/A/1/0/.staingrid/commits/0.json"], await store.ListAsync("", Stop).ToListAsync(Stop));

        var history = await HistoryAsync(5);
        Assert.Equal([201, 201, 201, 412, 202], history.Select(write => write.Status!.Value));
        Assert.All(history, write => Assert.True(write.Answered));
        Assert.Equal("a b/ü%.bin", history[0].Key);
        Assert.Equal("7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed", history[0].Sha256);   // of "one"
        Assert.Equal(("*", null, "{}"), (history[1].IfNoneMatch, history[1].IfMatch, history[1].Commit));
        Assert.Equal((tag.Trim('"'), "{ }"), (history[2].IfMatch!.Trim('"'), history[2].Commit));
        Assert.Equal(history[1].ETag, history[2].IfMatch);
        Assert.True(history[4].Delete);
    }

    [Theory]
    [InlineData("Refused", false, false)]
    [InlineData("Unavailable", false, false)]
    [InlineData("Torn", false, false)]
    [InlineData("LostAnswer", false, true)]
    [InlineData("Slow", true, true)]
    public async Task A_client_that_does_not_retry_sees_each_fault(string name, bool succeeds, bool stored)
    {
        var fault = Enum.Parse<BlobFault>(name);
        byte[] data = Encoding.UTF8.GetBytes(new string('x', 300_000));
        await _direct.WriteAsync("old", data, Stop);
        var store = Through(retries: 0);
        _proxy.Fail(1, fault);
        var watch = System.Diagnostics.Stopwatch.StartNew();
        if (succeeds)
        {
            await store.WriteAsync("new", data, Stop);
            Assert.Equal(data, (await store.ReadAsync("old", Stop))!.Value.ToArray());
            Assert.True(watch.Elapsed >= 2 * _proxy.SlowFrom);
        }
        else
        {
            await Assert.ThrowsAsync<BlobStoreException>(() => store.WriteAsync("new", data, Stop));
            await Assert.ThrowsAsync<BlobStoreException>(() => store.ReadAsync("old", Stop));
        }

        Assert.Equal(stored, await _direct.ExistsAsync("new", Stop));
        var write = Assert.Single(await HistoryAsync(1));
        Assert.Equal((stored, fault), (write.Accepted, write.Fault!.Value));
        Assert.Equal(fault is BlobFault.Unavailable or BlobFault.Slow, write.Answered);
        Assert.InRange(_proxy.Injected[fault], 2, fault == BlobFault.Torn ? 6 : 2);   // the SDK goes on with a torn body by itself

        _proxy.Fail(0);
        await store.WriteAsync("new", data, Stop);
    }

    [Fact]
    public async Task An_attempt_after_a_lost_answer_has_the_id_of_the_first()
    {
        var store = Through(retries: 30);
        _proxy.Fail(0.7, BlobFault.LostAnswer);
        for (int i = 0; i < 5; i++)
            await store.WriteAsync($"k{i}", new byte[] { (byte)i }, Stop);
        var byKey = _proxy.History.GroupBy(write => write.Key).ToList();
        Assert.Contains(byKey, writes => writes.Count() > 1);
        Assert.All(byKey, writes => Assert.Single(writes.Select(write => (write.RequestId, write.Sha256)).Distinct()));
    }

    [Theory]
    [InlineData(0.05)]
    [InlineData(0.2)]
    public async Task Three_hundred_mixed_writes_end_right_under_faults(double rate)
    {
        var store = Through(retries: 8);
        _proxy.Fail(rate);
        var expected = new System.Collections.Concurrent.ConcurrentDictionary<string, string>();
        int conflicts = 0;
        await Parallel.ForEachAsync(Enumerable.Range(0, 6), new ParallelOptions { MaxDegreeOfParallelism = 6, CancellationToken = Stop }, async (worker, _) =>
        {
            var random = new Random(worker);
            for (int i = 0; i < 50; i++)
            {
                string value = $"{worker}.{i}." + new string('v', random.Next(5_000)), key = $"{worker}/{random.Next(8)}";
                switch (random.Next(4))
                {
                    case 0:
                        await store.DeleteAsync(key, cancellationToken: Stop);
                        expected.TryRemove(key, out string? _);
                        break;
                    case 1:
                        await store.WriteAsync(key, Encoding.UTF8.GetBytes(value), Stop);
                        expected[key] = value;
                        break;
                    default:
                        // Its own write, whose answer was lost, may stand in its way: read again and decide again.
                        string counter = $"{worker}/counter";
                        while (await store.ReadBlobAsync(counter, 1 << 20, Stop) is var now && (now is null || Encoding.UTF8.GetString(now.Data.Span) != value))
                        {
                            try
                            {
                                await store.WriteIfAsync(counter, Encoding.UTF8.GetBytes(value), now?.ETag, Stop);
                                break;
                            }
                            catch (BlobConflictException)
                            {
                                Interlocked.Increment(ref conflicts);
                            }
                        }

                        expected[counter] = value;
                        break;
                }
            }
        });
        var stored = await _direct.ListAsync("", Stop).ToListAsync(Stop);
        Assert.Equal(expected.Keys.Order(StringComparer.Ordinal), stored);
        foreach (string key in stored)
            Assert.Equal(expected[key], Encoding.UTF8.GetString((await _direct.ReadAsync(key, Stop))!.Value.Span));
        int made = _proxy.Injected.Values.Sum();
        Assert.InRange(made / (double)_proxy.Requests, rate / 2, rate * 2);
        TestContext.Current.SendDiagnosticMessage($"{_proxy.Requests} requests, {made} faults, {conflicts} conflicts with an own write.");
    }

    private AzureBlobStore Through(int retries)
    {
        var options = new BlobClientOptions
        {
            Retry = { MaxRetries = retries, Mode = RetryMode.Fixed, Delay = TimeSpan.FromMilliseconds(20), NetworkTimeout = TimeSpan.FromSeconds(20) },
        };
        return new AzureBlobStore(new BlobContainerClient(_proxy.ConnectionString, "plates", options));
    }
}
