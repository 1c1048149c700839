using System.Net;
using System.Text.Json.Nodes;
using StainGrid.Contracts;
using StainGrid.Grains;

namespace StainGrid.Http.Tests;

/// <summary>A service with a model registry: names mean what is pinned, plates keep what they began with.</summary>
public sealed class RegistryTests
{
    private const int Wells = 20;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_plate_keeps_the_model_that_its_name_meant_whatever_is_pinned_later_and_the_next_gets_the_new_one()
    {
        await using var service = new Service { HasRegistry = true };
        await service.InitializeAsync();
        var registry = new ModelRegistry(service.Registry);
        string old = (await registry.PushAsync(service.WriteModel(2), "neuron", "ann", Stop)).Version.Sha256;
        string next = (await registry.PushAsync(service.WriteModel(3), "neuron", "ann", Stop)).Version.Sha256;
        Service.WritePlate(service.InShare("large"), Wells);
        using var client = service.Client(service.Submitter);
        Assert.Equal([("small", true, null), ("neuron", false, old)], await ListAsync(client));

        var held = service.Gate.Hold<IStitcherGrain>(nameof(IStitcherGrain.AddAsync));   // a field that does not end before the cancel
        string id = (string)(await Service.JsonAsync(await Service.SubmitAsync(client, "share:all/large", "one", ",\"model\":\"neuron\"")))["plate_id"]!;
        while ((int)(await PlateAsync(client, id))["fields_complete"]! == 0)
            await Task.Delay(20, Stop);
        await registry.PinAsync("neuron", next[..8], "ann", Stop);
        (await client.PostAsync($"/v1/plates/{id}/cancel", null, Stop)).EnsureSuccessStatusCode();
        held.Go();
        Assert.Equal("cancelled", await Service.EndAsync(client, id));
        Assert.InRange((int)(await PlateAsync(client, id))["fields_complete"]!, 1, Wells - 1);

        // The same submission again is the same plate, though its name means another model now.
        Assert.Equal(id, (string)(await Service.JsonAsync(await Service.SubmitAsync(client, "share:all/large", "one", ",\"model\":\"neuron\"")))["plate_id"]!);
        (await client.PostAsync($"/v1/plates/{id}/retry", null, Stop)).EnsureSuccessStatusCode();
        Assert.Equal("complete", await Service.EndAsync(client, id));
        for (int well = 0; well < Wells; well++)
            Assert.Equal(old, await ModelOfAsync(client, id, $"B/{well + 2}/0"));
        string plate = await client.GetStringAsync($"/v1/plates/{id}/zarr/.zattrs", Stop);
        Assert.Contains($"neuron@{old}", plate, StringComparison.Ordinal);

        Assert.Equal(next, await StainAsync(client, "neuron"));
        Assert.Equal(old, await StainAsync(client, $"neuron@{old[..8]}"));
        for (int tries = 0; (await ListAsync(client))[1] != ("neuron", false, next); tries++)
        {
            Assert.InRange(tries, 0, 50);
            await Task.Delay(100, Stop);
        }
    }

    [Fact]
    public async Task What_the_registry_does_not_have_is_refused_by_names_alone()
    {
        await using var service = new Service { HasRegistry = true };
        await service.InitializeAsync();
        var registry = new ModelRegistry(service.Registry);
        string model = service.WriteModel(2);
        string hash = (await registry.PushAsync(model, "neuron", "ann", Stop)).Version.Sha256;
        await registry.PushAsync(model, "damaged", "ann", Stop);
        await File.WriteAllTextAsync(Path.Combine(service.Registry, "models", "names", "damaged.json"), "{", Stop);
        using var client = service.Client(service.Submitter);
        string unknown = hash[..8] == "00000000" ? "11111111" : "00000000";
        foreach (string name in (string[])["absent", "../x", "neuron@", $"neuron@{unknown}", "neuron@../../x", "model:neuron", "small@" + hash])
        {
            var answer = await Service.SubmitAsync(client, "share:all/plate", null, $",\"model\":\"{name}\"");
            string said = await answer.Content.ReadAsStringAsync(Stop);
            Assert.Equal(HttpStatusCode.UnprocessableEntity, answer.StatusCode);
            Assert.Contains("There are: small, neuron;", said, StringComparison.Ordinal);
        }

        var refused = await Service.SubmitAsync(client, "share:all/plate", null, ",\"model\":\"damaged\"");
        Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.StatusCode);
        Assert.DoesNotContain(service.Registry, await refused.Content.ReadAsStringAsync(Stop), StringComparison.Ordinal);
        Assert.Equal([("small", true, null), ("neuron", false, hash)], await ListAsync(client));
        Assert.Equal(hash, await StainAsync(client, "neuron"));
    }

    private static async Task<string> StainAsync(HttpClient client, string model)
    {
        string id = (string)(await Service.JsonAsync(await Service.SubmitAsync(client, "share:all/plate", null, $",\"model\":\"{model}\"")))["plate_id"]!;
        Assert.Equal("complete", await Service.EndAsync(client, id));
        return await ModelOfAsync(client, id, "B/2/0");
    }

    private static async Task<JsonNode> PlateAsync(HttpClient client, string id) => JsonNode.Parse(await client.GetStringAsync($"/v1/plates/{id}", Stop))!;

    private static async Task<string> ModelOfAsync(HttpClient client, string id, string field) =>
        (string)JsonNode.Parse(await client.GetStringAsync($"/v1/plates/{id}/zarr/{field}/.zattrs", Stop))!["staingrid"]!["model"]!["sha256"]!;

    // Name, whether it is the default, and of the registry's the hash.
    private static async Task<(string, bool, string?)[]> ListAsync(HttpClient client) =>
        [.. JsonNode.Parse(await client.GetStringAsync("/v1/models", Stop))!["models"]!.AsArray()
            .Select(model => ((string)model!["name"]!, (bool)model["is_default"]!, (string)model["name"]! == "small" ? null : (string)model["sha256"]!))];
}
