using System.Runtime.CompilerServices;

namespace StainGrid.Model.Tests;

internal static class TorchThreads
{
    /// <summary>One thread an operation: the tests run in parallel themselves, and their tensors are small.</summary>
    [ModuleInitializer]
    internal static void UseOne() => TorchSharp.torch.set_num_threads(1);
}
