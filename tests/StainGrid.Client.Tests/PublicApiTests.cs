using PublicApiGenerator;
using StainGrid.Contracts;

namespace StainGrid.Client.Tests;

/// <summary>What others build against. A change that is meant is approved by copying the file that the failure names over the one in Api/.</summary>
public sealed class PublicApiTests
{
    private static readonly string[] s_wire = ["Alias", "Id", "Immutable", "GenerateSerializer", "ResponseTimeout", "Concurrency.AlwaysInterleave", "Concurrency.OneWay"];

    [Theory]
    [InlineData(typeof(IStainGridClient))]
    [InlineData(typeof(PlateSubmission))]
    public async Task The_public_API_is_the_approved_one(Type type)
    {
        string name = type.Assembly.GetName().Name!;
        string api = type.Assembly.GeneratePublicApi(new ApiGeneratorOptions
        {
            IncludeAssemblyAttributes = false,
            DenyNamespacePrefixes = ["OrleansCodeGen", "System"],   // what Orleans generates
            ExcludeAttributes =
            [
                "System.Runtime.CompilerServices.AsyncIteratorStateMachineAttribute",   // has the compiler's numbers
                .. s_wire.Select(name => $"Orleans.{name}Attribute"),
            ],
        }).ReplaceLineEndings("\n") + "\n";
        string approved = Path.Combine(AppContext.BaseDirectory, "Api", name + ".txt"), received = Path.Combine(AppContext.BaseDirectory, name + ".received.txt");
        if (File.Exists(approved) && await File.ReadAllTextAsync(approved, TestContext.Current.CancellationToken) == api)
            return;
        await File.WriteAllTextAsync(received, api, TestContext.Current.CancellationToken);
        Assert.Fail($"The public API of {name} is another than tests/StainGrid.Client.Tests/Api/{name}.txt. If that is meant, copy {received} over it.");
    }
}
