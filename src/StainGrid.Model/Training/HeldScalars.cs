using System.Runtime;

namespace StainGrid.Model;

/// <summary>
/// A while without garbage collections. TorchSharp 0.107 makes an object with a finaliser of each number that it hands to libtorch (in
/// Adam, batch norm, and whatever multiplies a tensor by a number), and does not hold it until libtorch has read it: a collection right then
/// frees the number, and the call throws, or reads another one. In a step there are thousands of such calls; prediction has a few, and holds each number itself.
/// </summary>
internal readonly struct HeldScalars : IDisposable
{
    private const long Bytes = 64L << 20;   // what managed code may need within; a step takes a few megabytes beside its tiles

    private readonly bool holds;

    private HeldScalars(bool holds) => this.holds = holds;

    /// <summary>Begins; does nothing where another is in the works.</summary>
    public static HeldScalars Begin()
    {
        // To try within one would end that.
        if (GCSettings.LatencyMode == GCLatencyMode.NoGCRegion)
            return default;
        try
        {
            return new HeldScalars(GC.TryStartNoGCRegion(Bytes));
        }
        catch (InvalidOperationException)
        {
            return default;   // another thread began just now
        }
    }

    /// <summary>Ends.</summary>
    public void Dispose()
    {
        if (!holds || GCSettings.LatencyMode != GCLatencyMode.NoGCRegion)
            return;
        try
        {
            GC.EndNoGCRegion();
        }
        catch (InvalidOperationException)
        {
            // More was needed: there was a collection, which ended it.
        }
    }
}
