using Microsoft.Extensions.Options;

namespace StainGrid.Grains;

/// <summary>The executors of a silo's devices.</summary>
public sealed class DeviceExecutors : IDisposable
{
    private readonly Dictionary<string, DeviceExecutor> executors;

    /// <summary>Starts one for each device.</summary>
    /// <exception cref="ArgumentException">A device is not here.</exception>
    public DeviceExecutors(IOptions<DeviceOptions> options)
    {
        ArgumentNullException.ThrowIfNull(options);
        Options = options.Value;
        executors = Options.Devices.Distinct().ToDictionary(name => name, name => new DeviceExecutor(name, Options.BatchSize));
    }

    /// <summary>Batch size and leases.</summary>
    public DeviceOptions Options { get; }

    /// <summary>The devices' names.</summary>
    public IReadOnlyCollection<string> Names => executors.Keys;

    /// <summary>The executor of a device.</summary>
    public DeviceExecutor this[string name] => executors[name];

    /// <summary>Ends all of them.</summary>
    public void Dispose()
    {
        foreach (var executor in executors.Values)
            executor.Dispose();
    }
}
