using System.Collections.Concurrent;
using k8s;
using k8s.Models;
using StainGrid.TestSupport;

namespace StainGrid.Deploy.Tests.Kubernetes;

/// <summary>What a controller makes pods of.</summary>
/// <param name="Name">The controller's name.</param>
/// <param name="Template">Its pods.</param>
/// <param name="Replicas">How many; null where an autoscaler says.</param>
/// <param name="Selector">What it knows its pods by.</param>
internal sealed record Pool(string Name, V1PodTemplateSpec Template, int? Replicas, V1LabelSelector Selector)
{
    public IDictionary<string, string> Labels => Template.Metadata.Labels;

    public V1PodSpec Spec => Template.Spec;

    /// <summary>The one container.</summary>
    public V1Container Container => Assert.Single(Spec.Containers);

    /// <summary>Whether it runs the command, and not Redis.</summary>
    public bool IsStainGrid => Labels["app.kubernetes.io/name"] == "staingrid";

    /// <summary>Whether its pods are silos of a cluster.</summary>
    public bool IsSilo => Labels.TryGetValue("staingrid-silo", out string? value) && value == "true";
}

/// <summary>An overlay as kustomize renders it, every document read strictly.</summary>
internal sealed class Overlay
{
    /// <summary>All that are applied by an operator; "hpa" is the cluster with the HPA in KEDA's place.</summary>
    public static readonly string[] Names = ["dev", "cluster", "azure", "hpa"];

    private static readonly Dictionary<string, Type> s_types = new()
    {
        ["keda.sh/v1alpha1/ScaledObject"] = typeof(ScaledObject),
        ["monitoring.coreos.com/v1/PodMonitor"] = typeof(PodMonitor),
    };

    private static readonly ConcurrentDictionary<string, Lazy<Task<Overlay>>> s_rendered = new();

    private Overlay(string text)
    {
        Text = text;
        Objects = [.. Parse(text).Cast<IKubernetesObject<V1ObjectMeta>>()];
        Pools =
        [
            .. Of<V1Deployment>().Select(owner => new Pool(owner.Metadata.Name, owner.Spec.Template, owner.Spec.Replicas, owner.Spec.Selector)),
            .. Of<V1StatefulSet>().Select(owner => new Pool(owner.Metadata.Name, owner.Spec.Template, owner.Spec.Replicas, owner.Spec.Selector)),
        ];
    }

    /// <summary>The documents.</summary>
    public string Text { get; }

    /// <summary>The documents, typed.</summary>
    public IReadOnlyList<IKubernetesObject<V1ObjectMeta>> Objects { get; }

    /// <summary>What has pods.</summary>
    public IReadOnlyList<Pool> Pools { get; }

    /// <summary>Those of them that run the command.</summary>
    public IEnumerable<Pool> StainGrid => Pools.Where(pool => pool.IsStainGrid);

    /// <summary>The silos of a cluster.</summary>
    public IEnumerable<Pool> Silos => Pools.Where(pool => pool.IsSilo);

    /// <summary>Renders an overlay, once.</summary>
    public static Task<Overlay> OfAsync(string name) => s_rendered.GetOrAdd(name, static name => new(() => RenderAsync(name))).Value;

    /// <summary>Reads manifests; a kind or a field that is not known is refused.</summary>
    public static List<object> Parse(string text) => KubernetesYaml.LoadAllFromString(text, s_types, strict: true);

    /// <summary>The documents of a kind.</summary>
    public IEnumerable<T> Of<T>() => Objects.OfType<T>();

    /// <summary>The environment of a pool's container as its pods get it; what comes from the pod or a secret stands as "&lt;..&gt;".</summary>
    public Dictionary<string, string> Environment(Pool pool)
    {
        var environment = new Dictionary<string, string>();
        foreach (var source in pool.Container.EnvFrom ?? [])
        {
            var map = Assert.Single(Of<V1ConfigMap>(), map => map.Metadata.Name == source.ConfigMapRef.Name);
            foreach (var (key, value) in map.Data)
                environment[key] = value;
        }

        foreach (var variable in pool.Container.Env ?? [])
            environment[variable.Name] = variable.Value ?? $"<{variable.ValueFrom.FieldRef?.FieldPath ?? variable.ValueFrom.SecretKeyRef.Name}>";
        return environment;
    }

    /// <summary>Whether a selector takes an object with these labels.</summary>
    public static bool Selects(V1LabelSelector? selector, IDictionary<string, string> labels)
    {
        if (selector is null)
            return false;
        Assert.Null(selector.MatchExpressions);   // not used, so not understood here
        return selector.MatchLabels is null || selector.MatchLabels.All(label => labels.TryGetValue(label.Key, out string? value) && value == label.Value);
    }

    private static async Task<Overlay> RenderAsync(string name)
    {
        if (name != "hpa")
            return new Overlay(await Checkout.KubectlAsync(["kustomize", Checkout.File("deploy", "k8s", "overlays", name)], CancellationToken.None));

        // As docs/kubernetes.md has an operator do it: an overlay of one's own over the cluster's.
        using var folder = new TemporaryFolder();
        string k8s = Path.GetRelativePath(folder.Path, Checkout.File("deploy", "k8s"));
        await File.WriteAllTextAsync(folder.File("kustomization.yaml"), $"resources: [{k8s}/overlays/cluster]\ncomponents: [{k8s}/components/hpa]\nnamespace: staingrid\n");
        return new Overlay(await Checkout.KubectlAsync(["kustomize", folder.Path], CancellationToken.None));
    }
}
