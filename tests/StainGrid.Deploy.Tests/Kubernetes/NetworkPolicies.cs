using System.Net;
using k8s.Models;

namespace StainGrid.Deploy.Tests.Kubernetes;

/// <summary>One end of a connection: a pod, or an address outside of the cluster.</summary>
internal sealed record Peer(string Name)
{
    /// <summary>A pod's namespace; null outside.</summary>
    public string? Namespace { get; init; }

    public IDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary>The address outside.</summary>
    public IPAddress? Address { get; init; }

    public override string ToString() => Name;
}

/// <summary>Decides as the API's documentation says: a pod that policies of a direction select takes only what one of them allows, and a
/// connection must be allowed at both ends.</summary>
internal sealed class NetworkPolicies(IEnumerable<V1NetworkPolicy> policies)
{
    /// <summary>Whether the end that is asked lets it in.</summary>
    public bool Admit(Peer from, Peer to, int port, string protocol = "TCP") =>
        Allowed(to, "Ingress", policy => policy.Spec.Ingress?.Any(rule => Ports(rule.Ports, port, protocol) && Peers(rule.FromProperty, policy, from)) == true);

    /// <summary>Whether the end that asks is let out.</summary>
    public bool Release(Peer from, Peer to, int port, string protocol = "TCP") =>
        Allowed(from, "Egress", policy => policy.Spec.Egress?.Any(rule => Ports(rule.Ports, port, protocol) && Peers(rule.To, policy, to)) == true);

    private bool Allowed(Peer peer, string direction, Func<V1NetworkPolicy, bool> allows)
    {
        var selecting = policies.Where(policy => policy.Metadata.NamespaceProperty == peer.Namespace
            && policy.Spec.PolicyTypes.Contains(direction) && Overlay.Selects(policy.Spec.PodSelector, peer.Labels)).ToArray();
        return selecting.Length == 0 || selecting.Any(allows);
    }

    // No list is every port; an empty list too.
    private static bool Ports(IList<V1NetworkPolicyPort>? ports, int port, string protocol) => ports is null or [] || ports.Any(allowed =>
    {
        Assert.Null(allowed.EndPort);
        return (allowed.Protocol ?? "TCP") == protocol && (allowed.Port is null || allowed.Port.Value == port.ToString(System.Globalization.CultureInfo.InvariantCulture));
    });

    // No list is everybody.
    private static bool Peers(IList<V1NetworkPolicyPeer>? peers, V1NetworkPolicy policy, Peer other) => peers is null or [] || peers.Any(peer =>
    {
        if (peer.IpBlock is { } block)
            return other.Address is { } address && IPNetwork.Parse(block.Cidr).Contains(address) && !(block.Except ?? []).Any(except => IPNetwork.Parse(except).Contains(address));
        if (other.Namespace is null)
            return false;
        bool space = peer.NamespaceSelector is { } selector
            ? Overlay.Selects(selector, new Dictionary<string, string> { ["kubernetes.io/metadata.name"] = other.Namespace })
            : other.Namespace == policy.Metadata.NamespaceProperty;
        return space && (peer.PodSelector is null || Overlay.Selects(peer.PodSelector, other.Labels));
    });
}
