using k8s;
using k8s.Models;

namespace StainGrid.Deploy.Tests.Kubernetes;

// What the manifests use of others' resources, and no more: a field that is not here is refused until somebody has looked it up.
public sealed record ScaledObject : IKubernetesObject<V1ObjectMeta>
{
    public string ApiVersion { get; set; } = "";
    public string Kind { get; set; } = "";
    public V1ObjectMeta Metadata { get; set; } = new();
    public ScaledObjectSpec Spec { get; set; } = new();
}

public sealed record ScaledObjectSpec
{
    public V2CrossVersionObjectReference ScaleTargetRef { get; set; } = new();
    public int MinReplicaCount { get; set; }
    public int MaxReplicaCount { get; set; }
    public int PollingInterval { get; set; }
    public int CooldownPeriod { get; set; }
    public ScaledObjectAdvanced Advanced { get; set; } = new();
    public List<ScaledObjectTrigger> Triggers { get; set; } = [];
}

public sealed record ScaledObjectAdvanced
{
    public ScaledObjectAutoscaler HorizontalPodAutoscalerConfig { get; set; } = new();
}

public sealed record ScaledObjectAutoscaler
{
    public V2HorizontalPodAutoscalerBehavior Behavior { get; set; } = new();
}

public sealed record ScaledObjectTrigger
{
    public string Type { get; set; } = "";
    public string MetricType { get; set; } = "";
    public PrometheusTrigger Metadata { get; set; } = new();
}

/// <summary>KEDA's scaler "prometheus": strings, also where they are numbers.</summary>
public sealed record PrometheusTrigger
{
    public string ServerAddress { get; set; } = "";
    public string Query { get; set; } = "";
    public string Threshold { get; set; } = "";
    public string ActivationThreshold { get; set; } = "";
    public string IgnoreNullValues { get; set; } = "";
}

public sealed record PodMonitor : IKubernetesObject<V1ObjectMeta>
{
    public string ApiVersion { get; set; } = "";
    public string Kind { get; set; } = "";
    public V1ObjectMeta Metadata { get; set; } = new();
    public PodMonitorSpec Spec { get; set; } = new();
}

public sealed record PodMonitorSpec
{
    public V1LabelSelector Selector { get; set; } = new();
    public List<PodMetricsEndpoint> PodMetricsEndpoints { get; set; } = [];
}

public sealed record PodMetricsEndpoint
{
    public string Port { get; set; } = "";
    public string Path { get; set; } = "";
    public string Interval { get; set; } = "";
    public string ScrapeTimeout { get; set; } = "";
}
