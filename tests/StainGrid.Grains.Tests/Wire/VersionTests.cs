using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Grains.Tests;

/// <summary>What the rules of docs/upgrade.md stand on: how messages and grain state of another version are read.</summary>
public sealed class VersionTests : IDisposable
{
    private static readonly Serializer s_serializer = new ServiceCollection().AddSerializer().BuildServiceProvider().GetRequiredService<Serializer>();

    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_message_of_the_version_before_has_the_defaults_of_what_that_did_not_know()
    {
        var read = s_serializer.Deserialize<NewMessage>(s_serializer.SerializeToArray(new OldMessage { Name = "n" }));
        Assert.Equal(("n", 7, null), (read!.Name, read.Weight, read.Trace));
        Assert.Equal(["a"], read.List);

        // But a record that is made by its constructor has none but zero and null: its new members must mean that.
        var positional = s_serializer.Deserialize<NewPositional>(s_serializer.SerializeToArray(new OldPositional("n")));
        Assert.Equal(("n", 0), (positional!.Name, positional.Weight));
    }

    [Fact]
    public void A_message_of_the_version_after_is_read_without_what_it_adds()
    {
        Assert.Equal("n", s_serializer.Deserialize<OldMessage>(s_serializer.SerializeToArray(new NewMessage { Name = "n", Trace = "t", Weight = 9, List = ["x", "y"] }))!.Name);
        Assert.Equal("n", s_serializer.Deserialize<OldPositional>(s_serializer.SerializeToArray(new NewPositional("n", 9)))!.Name);
    }

    [Fact]
    public void Positional_messages_have_no_defaults_but_zero_and_null() => Assert.DoesNotContain(
        from type in typeof(PlateRequest).Assembly.GetTypes()
        where type.IsDefined(typeof(GenerateSerializerAttribute), inherit: false) && type.GetConstructor([]) is null
        from parameter in type.GetConstructors().SelectMany(constructor => constructor.GetParameters())
        where parameter.HasDefaultValue && parameter.DefaultValue is not (null or false or 0 or 0L or 0.0)
        select $"{type.Name}.{parameter.Name}", _ => true);

    [Fact]
    public async Task Grain_state_of_the_version_after_is_read_without_what_it_adds()
    {
        var (store, key, state) = await WriteAsync();
        AddEverywhere(state);
        await store.WriteAsync(key, System.Text.Encoding.UTF8.GetBytes(state.ToJsonString()), Stop);
        Assert.Equivalent(Record(), await ReadAsync(store), strict: true);

        // And written again by the version before, it is what that knows.
        var storage = new BlobGrainStorage(store);
        var read = new GrainState<PlateRecord>();
        await storage.ReadStateAsync("plate", s_id, read);
        await storage.WriteStateAsync("plate", s_id, read);
        Assert.DoesNotContain("Added", System.Text.Encoding.UTF8.GetString((await store.ReadAsync(key, Stop))!.Value.Span), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Grain_state_of_the_version_before_is_read_without_what_that_did_not_know()
    {
        var (store, key, state) = await WriteAsync();
        foreach (string member in state.Select(member => member.Key).ToArray())
        {
            var older = state.DeepClone().AsObject();
            older.Remove(member);
            await store.WriteAsync(key, System.Text.Encoding.UTF8.GetBytes(older.ToJsonString()), Stop);
            var read = await ReadAsync(store);
            Assert.NotNull(read.Fields);
            Assert.NotNull(read.Reasons);
            Assert.NotNull(read.Trials);
        }

        // Of what was asked for, all but what a request cannot be without.
        foreach (string member in state["Request"]!.AsObject().Select(member => member.Key).Except([nameof(PlateRequest.Source), nameof(PlateRequest.Settings), nameof(PlateRequest.Output)]).ToArray())
        {
            var older = state.DeepClone().AsObject();
            older["Request"]!.AsObject().Remove(member);
            await store.WriteAsync(key, System.Text.Encoding.UTF8.GetBytes(older.ToJsonString()), Stop);
            Assert.Equal("s", (await ReadAsync(store)).Request!.Source);
        }
    }

    private static readonly GrainId s_id = GrainId.Create("plate", "p");

    private static PlateRecord Record() => new()
    {
        Request = new PlateRequest { Source = "s", Output = "o", Settings = new StainSettings { Model = "m", Labels = ["l"] }, Weight = 3, Name = "n" },
        ContentHash = "c",
        ModelSha256 = "h",
        State = PlateState.Running,
        Fields = [FieldState.Complete, FieldState.Failed],
        Reasons = { [1] = "r" },
        Trials = { [1] = new FieldTrials(3, 1, 0) },
        Generation = 2,
    };

    private async Task<(IBlobStore Store, string Key, JsonObject State)> WriteAsync()
    {
        var store = new FolderBlobStore(folder.Path);
        await new BlobGrainStorage(store).WriteStateAsync("plate", s_id, new GrainState<PlateRecord> { State = Record() });
        string key = BlobGrainStorage.KeyOf("plate", s_id);
        return (store, key, JsonNode.Parse((await store.ReadAsync(key, Stop))!.Value.Span)!.AsObject());
    }

    private static async Task<PlateRecord> ReadAsync(IBlobStore store)
    {
        var read = new GrainState<PlateRecord>();
        await new BlobGrainStorage(store).ReadStateAsync("plate", s_id, read);
        return read.State!;
    }

    // In each object but the dictionaries, whose keys are fields.
    private static void AddEverywhere(JsonObject state)
    {
        foreach (var (name, value) in state.ToArray())
        {
            if (value is JsonObject inner && name is not (nameof(PlateRecord.Reasons) or nameof(PlateRecord.Trials)))
                AddEverywhere(inner);
        }

        foreach (var trial in state[nameof(PlateRecord.Trials)]?.AsObject().Select(trial => trial.Value) ?? [])
            trial!["Added"] = 1;
        state["Added"] = new JsonObject { ["x"] = new JsonArray(1, 2) };
    }
}

/// <summary>A message as it was.</summary>
[GenerateSerializer, Alias("test.old")]
public sealed record OldMessage
{
    /// <summary>A member.</summary>
    [Id(0)] public required string Name { get; init; }
}

/// <summary>The same, grown.</summary>
[GenerateSerializer, Alias("test.new")]
public sealed record NewMessage
{
    /// <summary>A member.</summary>
    [Id(0)] public required string Name { get; init; }

    /// <summary>A new member.</summary>
    [Id(1)] public int Weight { get; init; } = 7;

    /// <summary>A new member.</summary>
    [Id(2)] public string? Trace { get; init; }

    /// <summary>A new member.</summary>
    [Id(3)] public IReadOnlyList<string> List { get; init; } = ["a"];
}

/// <summary>A positional message as it was.</summary>
/// <param name="Name">A member.</param>
[GenerateSerializer, Alias("test.old-positional")]
public sealed record OldPositional([property: Id(0)] string Name);

/// <summary>The same, grown.</summary>
/// <param name="Name">A member.</param>
/// <param name="Weight">A new member.</param>
[GenerateSerializer, Alias("test.new-positional")]
public sealed record NewPositional([property: Id(0)] string Name, [property: Id(1)] int Weight = 7);
