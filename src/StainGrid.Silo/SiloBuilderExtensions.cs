using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using StainGrid.Contracts;
using StainGrid.Grains;

namespace StainGrid.Silo;

/// <summary>Makes an Orleans silo one of StainGrid's.</summary>
public static class SiloBuilderExtensions
{
    /// <summary>Adds the devices, the image cache, telemetry, and one tile grain for each device, which starts with the silo.</summary>
    /// <param name="silo">The silo; its clustering is the caller's.</param>
    /// <param name="devices">The devices to use.</param>
    public static ISiloBuilder AddStainGrid(this ISiloBuilder silo, DeviceOptions devices)
    {
        ArgumentNullException.ThrowIfNull(silo);
        silo.Services.AddSingleton(Microsoft.Extensions.Options.Options.Create(devices));
        silo.Services.AddSingleton<DeviceExecutors>();
        silo.Services.TryAddSingleton<Func<string, IDeviceExecutor>>(_ => name => new DeviceExecutor(name));
        silo.Services.AddSingleton<SlideImageCache>();
        silo.Services.AddSingleton<SlideGate>();
        silo.Services.AddOpenTelemetry()
            .WithMetrics(metrics => metrics.AddMeter(Telemetry.MeterName, "Microsoft.Orleans"))
            .WithTracing(traces => traces.AddSource("Microsoft.Orleans.Runtime", "Microsoft.Orleans.Application"));
        silo.AddActivityPropagation();
        silo.AddStartupTask(async (services, _) =>
        {
            string name = services.GetRequiredService<ILocalSiloDetails>().Name;
            var grains = services.GetRequiredService<IGrainFactory>();
            foreach (string device in services.GetRequiredService<DeviceExecutors>().Names)
                await grains.GetGrain<ITileGrain>($"{name}/{device}").StartAsync();
        });
        return silo;
    }
}
