using System.Globalization;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using k8s.Models;
using StainGrid.Client;
using StainGrid.TestSupport;

namespace StainGrid.Deploy.Tests.Kubernetes;

public sealed partial class PodTests
{
    private const string Version = "0.1.0";

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public static TheoryData<string> Overlays { get; } = [.. Overlay.Names];

    [GeneratedRegex(@"^  --([a-z-]+)", RegexOptions.Multiline)]
    private static partial Regex Option();

    [Theory]
    [MemberData(nameof(Overlays))]
    public async Task Every_pod_may_do_what_the_restricted_level_allows_and_writes_only_to_its_volumes(string name)
    {
        var overlay = await Overlay.OfAsync(name);
        Assert.Equal("restricted", Assert.Single(overlay.Of<V1Namespace>()).Metadata.Labels["pod-security.kubernetes.io/enforce"]);
        Assert.All(overlay.Of<V1ServiceAccount>(), account => Assert.False(account.AutomountServiceAccountToken));
        Assert.NotEmpty(overlay.Pools);
        foreach (var pool in overlay.Pools)
        {
            var (spec, container) = (pool.Spec, pool.Container);
            Assert.Null(spec.InitContainers);
            Assert.Null(spec.HostNetwork ?? spec.HostPID ?? spec.HostIPC);
            Assert.True(spec.SecurityContext.RunAsNonRoot);
            Assert.True(spec.SecurityContext.RunAsUser > 0 && spec.SecurityContext.RunAsGroup > 0 && spec.SecurityContext.FsGroup > 0);
            Assert.Equal("RuntimeDefault", spec.SecurityContext.SeccompProfile.Type);
            Assert.False(spec.AutomountServiceAccountToken);
            Assert.False(spec.EnableServiceLinks);
            Assert.Contains(overlay.Of<V1ServiceAccount>(), account => account.Metadata.Name == spec.ServiceAccountName);
            Assert.False(container.SecurityContext.AllowPrivilegeEscalation);
            Assert.True(container.SecurityContext.ReadOnlyRootFilesystem);
            Assert.Equal(["ALL"], container.SecurityContext.Capabilities.Drop);
            Assert.Null(container.SecurityContext.Capabilities.Add);
            Assert.Null(container.SecurityContext.Privileged);
            Assert.All(container.Ports, port => Assert.Null(port.HostPort));

            // Volumes are of the kinds that the level allows, each is mounted, and what they name is there.
            var set = overlay.Of<V1StatefulSet>().SingleOrDefault(set => set.Metadata.Name == pool.Name);
            Assert.Equal(container.VolumeMounts.Select(mount => mount.Name).Order(), [.. (spec.Volumes ?? []).Select(volume => volume.Name).Concat(set?.Spec.VolumeClaimTemplates?.Select(claim => claim.Metadata.Name) ?? []).Order()]);
            foreach (var volume in spec.Volumes ?? [])
            {
                Assert.True(volume is { EmptyDir.SizeLimit: not null } or { ConfigMap: not null } or { PersistentVolumeClaim: not null }, volume.Name);
                if (volume.ConfigMap is { } map)
                    Assert.Contains(overlay.Of<V1ConfigMap>(), other => other.Metadata.Name == map.Name);
                if (volume.PersistentVolumeClaim is { } claim)
                    Assert.Contains(overlay.Of<V1PersistentVolumeClaim>(), other => other.Metadata.Name == claim.ClaimName);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Overlays))]
    public async Task Every_silo_has_its_probes_a_place_for_its_inputs_and_time_to_stop_in(string name)
    {
        var overlay = await Overlay.OfAsync(name);
        Assert.NotEmpty(overlay.StainGrid);
        foreach (var pool in overlay.StainGrid)
        {
            var container = pool.Container;
            var environment = overlay.Environment(pool);
            int monitoring = int.Parse(environment["STAINGRID_MONITORING"].Split(':')[1], CultureInfo.InvariantCulture);
            Assert.Equal("0.0.0.0:9464", environment["STAINGRID_MONITORING"]);   // the kubelet asks the pod's address
            foreach (var (probe, path) in new[] { (container.StartupProbe, "/health/live"), (container.LivenessProbe, "/health/live"), (container.ReadinessProbe, "/health/ready") })
            {
                Assert.Equal((path, "monitoring"), (probe.HttpGet.Path, probe.HttpGet.Port.Value));
                Assert.True(probe.TimeoutSeconds > 3, "The service takes up to 3 s to say that the cluster does not answer.");
            }

            Assert.Equal(monitoring, Assert.Single(container.Ports, port => port.Name == "monitoring").ContainerPort);
            Assert.True(container.StartupProbe.PeriodSeconds * container.StartupProbe.FailureThreshold >= 120);
            Assert.True(container.LivenessProbe.PeriodSeconds * container.LivenessProbe.FailureThreshold > 15, "The cluster is quicker: it evicts after 8 s.");

            // 120 s where nothing is said, which is the command's own.
            int shutdown = Number("STAINGRID_SHUTDOWN_TIMEOUT", 120);
            Assert.True(pool.Spec.TerminationGracePeriodSeconds >= shutdown + (container.Lifecycle?.PreStop?.Sleep?.Seconds ?? 0) + 10, $"{pool.Name} is killed before it has stopped.");

            var tmp = Assert.Single(pool.Spec.Volumes, volume => volume.Name == "tmp").EmptyDir;
            Assert.Equal("/tmp", Assert.Single(container.VolumeMounts, mount => mount.Name == "tmp").MountPath);
            decimal inputs = Number("STAINGRID_INPUT_CACHE", 8) * (1L << 30);
            Assert.True(tmp.SizeLimit.ToDecimal() >= inputs + (1L << 30), "The inputs do not fit into /tmp.");
            Assert.True(container.Resources.Requests["ephemeral-storage"].ToDecimal() >= tmp.SizeLimit.ToDecimal(), "The node need not have what /tmp may take.");
            Assert.True(container.Resources.Requests["memory"].ToDecimal() <= container.Resources.Limits["memory"].ToDecimal());
            Assert.DoesNotContain("cpu", container.Resources.Limits.Keys);

            int Number(string variable, int otherwise) => environment.TryGetValue(variable, out string? value) ? int.Parse(value, CultureInfo.InvariantCulture) : otherwise;
        }
    }

    [Theory]
    [MemberData(nameof(Overlays))]
    public async Task Every_setting_is_one_that_the_command_knows(string name)
    {
        var overlay = await Overlay.OfAsync(name);
        foreach (var pool in overlay.StainGrid)
        {
            string command = pool.Container.Args[0];
            string help = await Checkout.RunAsync(SiloProcess.CommandPath, [command, "--help"], Checkout.Root, null, Stop);
            string[] known = [.. Option().Matches(help).Select(match => "STAINGRID_" + match.Groups[1].Value.Replace('-', '_').ToUpperInvariant())];
            var environment = overlay.Environment(pool);
            Assert.All(
                environment.Keys,
                variable => Assert.True(known.Contains(variable) || variable is RedisServers.PasswordVariable or Imaging.BlobStores.ServiceUriVariable, $"{variable} is no option of {command}."));
            Assert.All(pool.Container.Args.Where(argument => argument.StartsWith("--", StringComparison.Ordinal)), option => Assert.Contains("  " + option, help, StringComparison.Ordinal));
        }
    }

    [Theory]
    [MemberData(nameof(Overlays))]
    public async Task Images_have_versions_and_secrets_are_named_needed_and_documented(string name)
    {
        var overlay = await Overlay.OfAsync(name);
        Assert.Equal(Version, XDocument.Load(Checkout.File("Directory.Build.props")).Descendants("VersionPrefix").Single().Value);
        string documentation = await File.ReadAllTextAsync(Checkout.File("docs", "kubernetes.md"), Stop);
        Assert.Empty(overlay.Of<V1Secret>());
        foreach (var pool in overlay.Pools)
        {
            string[] image = pool.Container.Image.Split(':');
            Assert.True(image is [_, not ("" or "latest")], $"{pool.Container.Image} names no version.");
            if (pool.IsStainGrid)
                Assert.Equal(Version, image[1]);
            foreach (var variable in pool.Container.Env ?? [])
            {
                if (variable.ValueFrom?.SecretKeyRef is { } secret)
                {
                    Assert.False(secret.Optional);
                    Assert.Matches($@"create secret generic {secret.Name}\b[^\n]*--from-literal={secret.Key}=", documentation);
                }
                else if (variable.Name.Contains("PASSWORD", StringComparison.Ordinal) || variable.Name.Contains("AUTH", StringComparison.Ordinal))
                {
                    Assert.True(variable is { Name: "STAINGRID_AUTH", Value: "true" }, $"{variable.Name} is given openly.");
                }
            }

            Assert.All(pool.Container.EnvFrom ?? [], source => Assert.Null(source.SecretRef));
        }
    }

    [Theory]
    [MemberData(nameof(Overlays))]
    public async Task Selectors_take_the_pods_that_they_mean(string name)
    {
        var overlay = await Overlay.OfAsync(name);
        foreach (var pool in overlay.Pools)
        {
            Assert.True(Overlay.Selects(pool.Selector, pool.Labels));
            Assert.Single(overlay.Pools, other => Overlay.Selects(pool.Selector, other.Labels));   // no other pool's pods
            Assert.All(pool.Spec.TopologySpreadConstraints ?? [], spread => Assert.Single(overlay.Pools, other => Overlay.Selects(spread.LabelSelector, other.Labels)));
        }

        foreach (var service in overlay.Of<V1Service>())
        {
            var pool = Assert.Single(overlay.Pools, pool => Overlay.Selects(new V1LabelSelector { MatchLabels = service.Spec.Selector }, pool.Labels));
            Assert.All(service.Spec.Ports, port => Assert.Contains(pool.Container.Ports, other => other.Name == port.TargetPort.Value));
        }

        foreach (var budget in overlay.Of<V1PodDisruptionBudget>())
        {
            Assert.Equal("1", budget.Spec.MaxUnavailable.Value);
            Assert.Single(overlay.Pools, pool => Overlay.Selects(budget.Spec.Selector, pool.Labels));
        }

        foreach (var monitor in overlay.Of<PodMonitor>())
        {
            Assert.Equal(overlay.StainGrid, overlay.Pools.Where(pool => Overlay.Selects(monitor.Spec.Selector, pool.Labels)));
            Assert.All(overlay.StainGrid, pool => Assert.Contains(pool.Container.Ports, port => port.Name == monitor.Spec.PodMetricsEndpoints.Single().Port));
        }
    }

    [Theory]
    [InlineData("cluster")]
    [InlineData("azure")]
    [InlineData("hpa")]
    public async Task Each_pool_of_silos_is_spread_and_kept_while_nodes_go_and_is_told_where_it_is(string name)
    {
        var overlay = await Overlay.OfAsync(name);
        Assert.Equal(["staingrid-api", "staingrid-cpu", "staingrid-gpu"], overlay.Silos.Select(pool => pool.Name).Order(StringComparer.Ordinal));
        foreach (var pool in overlay.Silos)
        {
            Assert.Single(overlay.Of<V1PodDisruptionBudget>(), budget => Overlay.Selects(budget.Spec.Selector, pool.Labels));
            Assert.Equal(["kubernetes.io/hostname", "topology.kubernetes.io/zone"], pool.Spec.TopologySpreadConstraints.Select(spread => spread.TopologyKey));
            var environment = overlay.Environment(pool);
            Assert.Equal(("<metadata.name>", "<status.podIP>", "11111", "30000"), (environment["STAINGRID_NAME"], environment["STAINGRID_ADVERTISE"], environment["STAINGRID_SILO_PORT"], environment["STAINGRID_GATEWAY_PORT"]));
            Assert.Equal((11111, 30000), (PortOf("silo"), PortOf("gateway")));
            string[] redis = environment["STAINGRID_REDIS"].Split(':');
            var service = Assert.Single(overlay.Of<V1Service>(), service => service.Metadata.Name == redis[0]);
            Assert.Equal(redis[1], service.Spec.Ports.Single().Port.ToString(CultureInfo.InvariantCulture));

            // All see the same folders; those with the role cpu know the same places, the others none.
            Assert.Equal("ReadWriteMany", overlay.Of<V1PersistentVolumeClaim>().Single(claim => claim.Metadata.Name == Assert.Single(pool.Spec.Volumes, volume => volume.Name == "shared").PersistentVolumeClaim.ClaimName).Spec.AccessModes.Single());
            string mount = Assert.Single(pool.Container.VolumeMounts, mount => mount.Name == "shared").MountPath;
            string[] places = [environment["STAINGRID_STATE"], .. environment.Where(pair => pair.Key is "STAINGRID_RESULTS" or "STAINGRID_UPLOADS").Select(pair => pair.Value)];
            Assert.All(places, place => Assert.True(place.StartsWith(mount + "/", StringComparison.Ordinal) || place.StartsWith("azure://", StringComparison.Ordinal), place));
            Assert.Equal(environment["STAINGRID_ROLE"] == "cpu", environment.ContainsKey("STAINGRID_RESULTS"));

            int PortOf(string port) => Assert.Single(pool.Container.Ports, other => other.Name == port).ContainerPort;
        }

        var gpu = overlay.Silos.Single(pool => pool.Name == "staingrid-gpu");
        Assert.Equal("1", gpu.Container.Resources.Limits["nvidia.com/gpu"].ToString());
        Assert.Contains(gpu.Spec.Tolerations, toleration => toleration is { Key: "nvidia.com/gpu", OperatorProperty: "Exists", Effect: "NoSchedule" });
        Assert.Equal(("cuda:0", "accelerator"), (overlay.Environment(gpu)["STAINGRID_DEVICE"], overlay.Environment(gpu)["STAINGRID_ROLE"]));
        Assert.Equal("true", overlay.Environment(overlay.Silos.Single(pool => pool.Name == "staingrid-api"))["STAINGRID_AUTH"]);
        Assert.All(overlay.Silos, pool => Assert.Equal(pool == gpu, pool.Replicas is null));   // what the autoscaler says is not written over
    }

    [Fact]
    public async Task GPU_silos_are_scaled_by_the_seconds_of_work_for_each_down_to_none_by_KEDA_and_to_one_by_an_HPA()
    {
        // The name that docs/telemetry.md promises.
        Assert.Contains("`staingrid_queue_work_seconds`", await File.ReadAllTextAsync(Checkout.File("docs", "telemetry.md"), Stop), StringComparison.Ordinal);
        foreach (string name in (string[])["cluster", "azure"])
        {
            var overlay = await Overlay.OfAsync(name);
            Assert.Empty(overlay.Of<V2HorizontalPodAutoscaler>());
            var spec = Assert.Single(overlay.Of<ScaledObject>()).Spec;
            Assert.Equal(("Deployment", "staingrid-gpu", 0), (spec.ScaleTargetRef.Kind, spec.ScaleTargetRef.Name, spec.MinReplicaCount));
            var trigger = Assert.Single(spec.Triggers);
            Assert.Equal(("prometheus", "AverageValue", "max(staingrid_queue_work_seconds{namespace=\"staingrid\"})", "600", "0", "false"),
                (trigger.Type, trigger.MetricType, trigger.Metadata.Query, trigger.Metadata.Threshold, trigger.Metadata.ActivationThreshold, trigger.Metadata.IgnoreNullValues));
            Assert.True(spec.CooldownPeriod >= 300 && spec.MaxReplicaCount > 1);
        }

        var hpa = await Overlay.OfAsync("hpa");
        Assert.Empty(hpa.Of<ScaledObject>());
        var autoscaler = Assert.Single(hpa.Of<V2HorizontalPodAutoscaler>()).Spec;
        Assert.Equal(("Deployment", "staingrid-gpu", 1), (autoscaler.ScaleTargetRef.Kind, autoscaler.ScaleTargetRef.Name, autoscaler.MinReplicas));
        Assert.Equal("External", Assert.Single(autoscaler.Metrics).Type);
        var metric = autoscaler.Metrics[0].External;
        Assert.Equal("staingrid", metric.Metric.Selector.MatchLabels["namespace"]);
        Assert.Equal(("staingrid_queue_work_seconds", "AverageValue", "600"), (metric.Metric.Name, metric.Target.Type, metric.Target.AverageValue.ToString()));
    }

    [Fact]
    public async Task In_Azure_silos_have_the_identity_and_no_secret_of_the_account()
    {
        var azure = await Overlay.OfAsync("azure");
        Assert.Contains("azure.workload.identity/client-id", Assert.Single(azure.Of<V1ServiceAccount>()).Metadata.Annotations);
        Assert.All(azure.Pools, pool => Assert.Equal(pool.IsSilo, pool.Labels.TryGetValue("azure.workload.identity/use", out string? use) && use == "true"));
        Assert.All(azure.Silos, pool =>
        {
            var environment = azure.Environment(pool);
            Assert.StartsWith("https://", environment[Imaging.BlobStores.ServiceUriVariable], StringComparison.Ordinal);
            Assert.StartsWith("azure://", environment["STAINGRID_STATE"], StringComparison.Ordinal);
            Assert.DoesNotContain(Imaging.BlobStores.ConnectionStringVariable, environment.Keys);
        });
        var cluster = await Overlay.OfAsync("cluster");
        Assert.All(cluster.Pools, pool => Assert.DoesNotContain("azure.workload.identity/use", pool.Labels.Keys));
    }
}
