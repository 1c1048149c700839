using Microsoft.Extensions.Options;

namespace StainGrid.Grains;

/// <summary>The executors of a silo's devices.</summary>
public sealed class DeviceExecutors : IDisposable
{
    private readonly Dictionary<string, IDeviceExecutor> executors;

    /// <summary>Starts one for each device.</summary>
    /// <param name="options">The devices.</param>
    /// <param name="create">Makes the executor of a device by its name.</param>
    /// <exception cref="ArgumentException">A device is not here.</exception>
    public DeviceExecutors(IOptions<DeviceOptions> options, Func<string, IDeviceExecutor> create)
    {
        ArgumentNullException.ThrowIfNull(options);
        Options = options.Value;
        executors = Options.Devices.Distinct().ToDictionary(name => name, create);
    }

    /// <summary>The devices and their leases.</summary>
    public DeviceOptions Options { get; }

    /// <summary>The devices' names.</summary>
    public IReadOnlyCollection<string> Names => executors.Keys;

    /// <summary>The executor of a device.</summary>
    public IDeviceExecutor this[string name] => executors[name];

    /// <summary>Ends all of them.</summary>
    public void Dispose()
    {
        foreach (var executor in executors.Values)
            executor.Dispose();
    }
}
