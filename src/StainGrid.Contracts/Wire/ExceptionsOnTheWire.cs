using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;

namespace StainGrid.Contracts;

/// <summary>What silos and clients need beside the messages' own code.</summary>
public static class ExceptionsOnTheWire
{
    /// <summary>Lets StainGrid's exceptions pass between processes, alone or inside others: without it the caller sees, in place of the
    /// message that tells what to do, that there is no codec for it.</summary>
    public static IServiceCollection AddStainGridExceptions(this IServiceCollection services) =>
        services.Configure<ExceptionSerializationOptions>(options => options.SupportedNamespacePrefixes.Add("StainGrid"));
}
