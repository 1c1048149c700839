using System.ComponentModel.DataAnnotations;
using System.Net;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Silo.Http;

namespace StainGrid.Silo;

/// <summary>A silo of a cluster: whom it joins, where it listens, what it is for.</summary>
public sealed record StainGridClusterOptions : IValidatableObject
{
    /// <summary>The Redis server of membership and reminders, "host:port". It must keep its data (appendonly yes).</summary>
    [Required, RegularExpression(@"[^\s:,/]+:\d{1,5}", ErrorMessage = "Redis must be HOST:PORT, as in 10.0.0.5:6379.")]
    public required string Redis { get; init; }

    /// <summary>The cluster: silos and clients that say the same name find each other.</summary>
    [Required, RegularExpression("[A-Za-z0-9._-]{1,64}", ErrorMessage = "ClusterId must be 1 to 64 letters, digits, '.', '_' or '-'.")]
    public string ClusterId { get; init; } = "staingrid";

    /// <summary>The service whose reminders and state these are; outlives clusters.</summary>
    [Required, RegularExpression("[A-Za-z0-9._-]{1,64}", ErrorMessage = "ServiceId must be 1 to 64 letters, digits, '.', '_' or '-'.")]
    public string ServiceId { get; init; } = "staingrid";

    /// <summary>The blob store of the grains' state, the same for all silos: a folder that all see, azure://CONTAINER or a URL.</summary>
    [Required]
    public required string StateStore { get; init; }

    /// <summary>The silo's name, of its own in the cluster.</summary>
    [Required, RegularExpression("[A-Za-z0-9._-]{1,64}", ErrorMessage = "SiloName must be 1 to 64 letters, digits, '.', '_' or '-'.")]
    public string SiloName { get; init; } = $"{Environment.MachineName}-{Environment.ProcessId}";

    /// <summary>The port for other silos; 0 for a free one.</summary>
    [Range(0, 65535)]
    public int SiloPort { get; init; }

    /// <summary>The port for clients; 0 for a free one.</summary>
    [Range(0, 65535)]
    public int GatewayPort { get; init; }

    /// <summary>The IP address at which others reach this silo; loopback reaches only this machine.</summary>
    [Required]
    public string AdvertisedAddress { get; init; } = "127.0.0.1";

    /// <summary>What the silo is for.</summary>
    [EnumDataType(typeof(SiloRole))]
    public SiloRole Role { get; init; }

    /// <summary>The devices; not used by <see cref="SiloRole.Cpu"/>.</summary>
    [Required]
    public DeviceOptions Devices { get; init; } = new();

    /// <summary>How images and models are kept that come from blobs.</summary>
    [Required]
    public BlobFilesOptions Inputs { get; init; } = new();

    /// <summary>Where the service's plates come from and go to; null for a silo that does not know. At least one silo with the role cpu must.</summary>
    public ServiceOptions? Service { get; init; }

    /// <summary>The HTTP service of this silo; null for none.</summary>
    public HttpOptions? Http { get; init; }

    /// <summary>Where telemetry goes.</summary>
    [Required]
    public TelemetryOptions Telemetry { get; init; } = new();

    /// <summary>How long a stop may take, more than the longest block, 1 s to 1 h. A pod's grace period must be longer.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan ShutdownTimeout { get; init; } = TimeSpan.FromSeconds(120);

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (!IPAddress.TryParse(AdvertisedAddress, out _))
            yield return new ValidationResult($"AdvertisedAddress '{AdvertisedAddress}' is not an IP address. Say the one at which other silos reach this one.");
        if (SiloPort != 0 && SiloPort == GatewayPort)
            yield return new ValidationResult($"SiloPort and GatewayPort are both {SiloPort}. Give two ports.");
        var errors = new List<ValidationResult>();
        Validator.TryValidateObject(Devices, new ValidationContext(Devices), errors, validateAllProperties: true);
        Validator.TryValidateObject(Inputs, new ValidationContext(Inputs), errors, validateAllProperties: true);
        foreach (object? part in (object?[])[Service, Http, Telemetry])
        {
            if (part is not null)
                Validator.TryValidateObject(part, new ValidationContext(part), errors, validateAllProperties: true);
        }

        foreach (var error in errors)
            yield return error;
        if (Role == SiloRole.Accelerator && (Service ?? Http?.Service) is not null)
            yield return new ValidationResult("The service's plates are a matter of silos with the role cpu or all.");
    }

    /// <summary>Throws where an option is wrong, or a device is not here.</summary>
    /// <exception cref="ArgumentException">What is wrong, in one line.</exception>
    public void ThrowIfInvalid()
    {
        Validation.Check(this);
        if (Role == SiloRole.Cpu)
            return;
        foreach (string device in Devices.Devices)
            DeviceExecutor.Parse(device);
    }
}
