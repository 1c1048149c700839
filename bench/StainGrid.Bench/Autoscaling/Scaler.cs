namespace StainGrid.Bench;

/// <summary>The settings of KEDA and of the HorizontalPodAutoscaler that it makes; their defaults, but for what the issue says.</summary>
internal sealed record ScalerOptions
{
    /// <summary>The most silos.</summary>
    public int Most { get; init; } = 16;

    /// <summary>How often Prometheus reads the silos' metrics (and the metrics server their use).</summary>
    public TimeSpan Scrape { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How often KEDA looks whether there is anything to do at all.</summary>
    public TimeSpan Poll { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How often the HorizontalPodAutoscaler runs.</summary>
    public TimeSpan Sync { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>After so long without work KEDA goes to zero.</summary>
    public TimeSpan CoolDown { get; init; } = TimeSpan.FromSeconds(300);

    /// <summary>Fewer silos only where nothing asked for more for so long.</summary>
    public TimeSpan Stabilisation { get; init; } = TimeSpan.FromSeconds(300);

    /// <summary>A ratio this near to 1 changes nothing.</summary>
    public double Tolerance { get; init; } = 0.1;

    /// <summary>A sync adds as many silos as there are, or so many, whichever is more.</summary>
    public int Added { get; init; } = 4;
}

/// <summary>How many silos are wanted: KEDA between none and some, the HorizontalPodAutoscaler's rules (kubernetes' replica_calculator.go and
/// horizontal.go) between one and the most.</summary>
internal sealed class Scaler(ScalingPolicy policy, ScalerOptions options)
{
    private readonly Queue<(TimeSpan At, int Wanted)> wanted = [];
    private TimeSpan lastActive = TimeSpan.MinValue / 2;

    /// <summary>Silos that are wanted.</summary>
    public int Replicas { get; private set; } = Math.Min(policy.Least, options.Most);

    /// <summary>KEDA's poll: from none to one where there is work, to none where there was none for long.</summary>
    public void Poll(TimeSpan now, Signals signals)
    {
        if (policy is not TotalPolicy total)
            return;
        if (total.Total(signals) > 0)
        {
            lastActive = now;
            Replicas = Math.Max(Replicas, 1);
        }
        else if (now - lastActive >= options.CoolDown)
        {
            Replicas = 0;
        }
    }

    /// <summary>The HorizontalPodAutoscaler's turn; it sleeps while there are none.</summary>
    public void Sync(TimeSpan now, Signals signals)
    {
        if (policy is FixedPolicy || Replicas == 0)
            return;
        int raw = policy switch
        {
            TotalPolicy total => ByTotal(total.Total(signals), total.Target),
            UsePolicy use => ByUse([.. signals.BusyShares.Select(share => share * use.UseWhenBusy)], signals.Unready, use.Target),
            _ => throw new InvalidOperationException($"No rule for {policy.Name}."),
        };
        while (wanted.TryPeek(out var old) && old.At < now - options.Stabilisation)
            wanted.Dequeue();
        wanted.Enqueue((now, raw));
        int calm = raw < Replicas ? Math.Min(Replicas, wanted.Max(entry => entry.Wanted)) : raw;
        calm = Math.Min(calm, Math.Max(Replicas + options.Added, 2 * Replicas));
        Replicas = Math.Clamp(calm, 1, options.Most);
    }

    private int ByTotal(double total, double target) =>
        Math.Abs(total / (target * Replicas) - 1) <= options.Tolerance ? Replicas : (int)Math.Ceiling(total / target);

    // Silos that are not measured are left out; where the others want more, they count as idle, and what would turn the direction does nothing.
    private int ByUse(double[] uses, int unready, double target)
    {
        if (uses.Length == 0)
            return Replicas;
        double ratio = uses.Average() / target;
        int counted = uses.Length;
        if (ratio > 1 && unready > 0)
        {
            counted += unready;
            ratio = uses.Sum() / counted / target;
            if (ratio < 1)
                return Replicas;
        }

        if (Math.Abs(ratio - 1) <= options.Tolerance)
            return Replicas;
        int count = (int)Math.Ceiling(ratio * counted - 1e-9);
        return ratio > 1 ? Math.Max(count, Replicas) : Math.Min(count, Replicas);
    }
}
