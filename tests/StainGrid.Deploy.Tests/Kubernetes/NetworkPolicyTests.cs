using System.Net;
using k8s.Models;

namespace StainGrid.Deploy.Tests.Kubernetes;

public sealed class NetworkPolicyTests
{
    private static readonly int[] s_ports = [22, 443, 5080, 6379, 9464, 11111, 30000];

    private static readonly Peer
        s_stranger = new("a pod of the namespace") { Namespace = "staingrid" },
        s_client = new("a client") { Namespace = "staingrid", Labels = new Dictionary<string, string> { ["staingrid-client"] = "true" } },
        s_liar = new("a pod elsewhere with a silo's labels") { Namespace = "other", Labels = new Dictionary<string, string> { ["staingrid-silo"] = "true", ["staingrid-client"] = "true", ["app.kubernetes.io/name"] = "staingrid" } },
        s_prometheus = new("Prometheus") { Namespace = "monitoring" },
        s_ingress = new("the ingress controller") { Namespace = "ingress-nginx" },
        s_names = new("the cluster's names") { Namespace = "kube-system", Labels = new Dictionary<string, string> { ["k8s-app"] = "kube-dns" } },
        s_world = new("the world") { Address = IPAddress.Parse("203.0.113.7") },
        s_node = new("what a node tells of itself") { Address = IPAddress.Parse("169.254.169.254") };

    public static TheoryData<string> Overlays { get; } = [.. Overlay.Names];

    [Theory]
    [MemberData(nameof(Overlays))]
    public async Task Every_connection_that_is_not_meant_is_closed_and_every_one_that_is_meant_is_open(string name)
    {
        var overlay = await Overlay.OfAsync(name);
        var policies = new NetworkPolicies(overlay.Of<V1NetworkPolicy>());
        var pods = overlay.Pools.Select(pool => new Peer(pool.Name) { Namespace = "staingrid", Labels = pool.Labels }).ToArray();
        Peer[] others = [s_stranger, s_client, s_liar, s_prometheus, s_ingress, s_names, s_world, s_node];
        int open = 0;
        foreach (var from in (Peer[])[.. pods, .. others])
        {
            foreach (var to in (Peer[])[.. pods, .. others])
            {
                if (from.Namespace != "staingrid" && to.Namespace != "staingrid")
                    continue;
                foreach (int port in s_ports)
                {
                    bool meant = Meant(name, overlay, from, to, port);

                    // Each end closes by itself: none leans on the other's policies.
                    Assert.True(to.Namespace != "staingrid" || policies.Admit(from, to, port) == meant, $"{to} is {(meant ? "closed to" : "open to")} {from} at port {port}.");
                    Assert.True(from.Namespace != "staingrid" || policies.Release(from, to, port) == meant, $"{from} is {(meant ? "not let" : "let")} out to {to} at port {port}.");
                    open += meant ? 1 : 0;
                }

                if (from.Namespace == "staingrid")
                    Assert.Equal(to == s_names, policies.Release(from, to, 53, "UDP"));
            }
        }

        Assert.True(open > 0);
    }

    // Said once more, in other words than the policies'.
    private static bool Meant(string name, Overlay overlay, Peer from, Peer to, int port)
    {
        var (fromPool, toPool) = (overlay.Pools.SingleOrDefault(pool => pool.Name == from.Name), overlay.Pools.SingleOrDefault(pool => pool.Name == to.Name));
        bool silo = fromPool is { IsSilo: true };
        return port switch
        {
            11111 => silo && toPool is { IsSilo: true },
            30000 => (silo || from == s_client) && toPool is { IsSilo: true },
            6379 => (silo || from == s_client) && to.Name == "staingrid-redis",
            9464 => from == s_prometheus && toPool is { IsStainGrid: true },
            5080 => from == s_ingress && to.Name == "staingrid-api",
            443 => name == "azure" && silo && to == s_world,
            _ => false,
        };
    }
}
