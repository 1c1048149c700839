using System.Text.Json;
using k8s.Models;

namespace StainGrid.Deploy.Tests.Kubernetes;

public sealed class ManifestTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public static TheoryData<string> Overlays { get; } = [.. Overlay.Names];

    [Theory]
    [MemberData(nameof(Overlays))]
    public async Task An_overlay_renders_to_documents_that_are_valid_by_their_types_and_by_their_schemas(string name)
    {
        var overlay = await Overlay.OfAsync(name);
        using var answer = JsonDocument.Parse(await Checkout.NodeAsync("validate.mjs", [], overlay.Text, Stop));
        Assert.Equal("[]", answer.RootElement.GetProperty("found").GetRawText());
        Assert.Equal(overlay.Objects.Count, answer.RootElement.GetProperty("documents").GetInt32());
        Assert.All(overlay.Objects, item => Assert.Equal("staingrid", item is V1Namespace ? item.Metadata.Name : item.Metadata.NamespaceProperty));
        Assert.Distinct(overlay.Objects.Select(item => (item.Kind, item.Metadata.Name)));
    }

    [Theory]
    [InlineData("readOnlyRootFilesystem:", "readOnlyRootFileSystem:")]   // of Kubernetes
    [InlineData("cooldownPeriod:", "coolDownPeriod:")]                   // of KEDA
    [InlineData("podMetricsEndpoints:", "podMetricEndpoints:")]          // of the Prometheus operator
    [InlineData("kind: PodMonitor", "kind: PodMonitors")]
    [InlineData("serverAddress:", "server:")]
    public async Task A_field_or_a_kind_that_is_not_known_is_refused(string right, string wrong)
    {
        string text = (await Overlay.OfAsync("cluster")).Text;
        Assert.Contains(right, text, StringComparison.Ordinal);
        Assert.ThrowsAny<Exception>(() => Overlay.Parse(text.Replace(right, wrong, StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("  selector:\n", "  other:\n", "selector")]
    [InlineData("type: RuntimeDefault", "type: Default", "seccompProfile")]
    [InlineData("maxReplicaCount: 8", "maxReplicaCount: many", "maxReplicaCount")]
    public async Task What_a_schema_does_not_allow_is_found(string right, string wrong, string said)
    {
        string text = (await Overlay.OfAsync("cluster")).Text;
        Assert.Contains(right, text, StringComparison.Ordinal);
        Assert.Contains(said, await Checkout.NodeAsync("validate.mjs", [], text.Replace(right, wrong, StringComparison.Ordinal), Stop), StringComparison.Ordinal);
    }
}
