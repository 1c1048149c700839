using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Orleans.Configuration;
using Orleans.Placement;
using Orleans.Runtime.MembershipService.SiloMetadata;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Silo;

/// <summary>Makes an Orleans silo one of StainGrid's.</summary>
public static class SiloBuilderExtensions
{
    /// <summary>Adds placement, the image cache and telemetry, and where the role has accelerators the devices and one tile
    /// grain for each, which starts once the silo is active and stops before its grains are deactivated.</summary>
    /// <param name="silo">The silo; its clustering, reminders and grain storage are the caller's.</param>
    /// <param name="siloName">The silo's name, without '/'.</param>
    /// <param name="devices">The devices to use.</param>
    /// <param name="role">What the silo is for.</param>
    /// <param name="inputs">How images and models are kept that come from blobs; the defaults where null.</param>
    /// <param name="service">Where the service's plates come from and go to; null for a silo that does not know.</param>
    public static ISiloBuilder AddStainGrid(
        this ISiloBuilder silo, string siloName, DeviceOptions devices, SiloRole role = SiloRole.All, BlobFilesOptions? inputs = null, ServiceOptions? service = null)
    {
        ArgumentNullException.ThrowIfNull(silo);
        silo.Configure<SiloOptions>(options => options.SiloName = siloName);
        bool accelerator = role is SiloRole.All or SiloRole.Accelerator;
        silo.UseSiloMetadata(new Dictionary<string, string>
        {
            [SiloMetadataKeys.Silo] = siloName,
            [SiloMetadataKeys.Cpu] = role is SiloRole.All or SiloRole.Cpu ? "true" : "false",
            [SiloMetadataKeys.Accelerator] = accelerator ? "true" : "false",
            [SiloMetadataKeys.Service] = service is null ? "false" : "true",
            [SiloMetadataKeys.Version] = SiloVersions.StainGrid,
            [SiloMetadataKeys.Orleans] = SiloVersions.Orleans,
            [SiloMetadataKeys.Runtime] = SiloVersions.Runtime,
            [SiloMetadataKeys.BFloat16] = accelerator && devices.Devices.All(ProductRate.PrefersBFloat16) ? "true" : "false",
        });
        silo.Services.AddPlacementFilter<RequireSiloMetadataFilter, RequireSiloMetadataDirector>(ServiceLifetime.Transient);
        silo.Services.AddPlacementDirector<DevicePinnedPlacement, DevicePinnedDirector>();
        if (service is not null)
        {
            silo.Services.AddSingleton(service);
            silo.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>, Housekeeping>();
        }

        silo.Services.AddSingleton(Microsoft.Extensions.Options.Options.Create(devices));
        silo.Services.AddSingleton<DeviceExecutors>();
        silo.Services.TryAddSingleton<Func<string, IDeviceExecutor>>(services => name => new DeviceExecutor(name, services.GetRequiredService<BlobFiles>(), devices.Threads));
        silo.Services.TryAddSingleton(_ => new BlobFiles(inputs));
        silo.Services.AddSingleton<ModelFiles>();
        silo.Services.AddSingleton<ClusterPrecision>();
        silo.Services.AddSingleton<SlidePreparation>();
        silo.Services.AddStainGridExceptions();
        silo.Services.AddSingleton<SlideImageCache>();
        silo.Services.AddSingleton<SlideGate>();
        silo.Services.AddSingleton<QueueGauges>();
        silo.AddActivityPropagation();
        if (role is SiloRole.All or SiloRole.Cpu)
            silo.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>, LocalDispatcher>();
        if (accelerator)
            silo.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>, LocalDevices>();
        return silo;
    }
}
