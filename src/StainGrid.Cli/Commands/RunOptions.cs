using System.CommandLine;

namespace StainGrid.Cli;

/// <summary>The options that say how a command runs; each adds those that it has.</summary>
internal sealed class RunOptions
{
    public Option<string> Device { get; } = new("--device")
    {
        Description = "Where to compute: cpu, or cuda:N for GPU N (needs a build with -p:StainGridCuda=true).",
        DefaultValueFactory = _ => "cpu",
        HelpName = "cpu|cuda:N",
    };

    public Option<bool> Overwrite { get; } = new("--overwrite") { Description = "Replace complete outputs of earlier runs." };

    public Option<bool> Json { get; } = new("--json") { Description = "Print one JSON object a result instead of text, and no progress." };

    public Option<bool> Verbose { get; } = new("--verbose") { Description = "Log what the silo does to the standard error." };
}
