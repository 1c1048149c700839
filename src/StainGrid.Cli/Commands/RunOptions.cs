using System.CommandLine;
using StainGrid.Grains;

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

    public Option<int> Threads { get; } = new("--threads")
    {
        Description = "Cores that --device cpu computes on, a tile each; 0 for all. Does not change the result.",
        Validators = { result => { if (result.Tokens is [var token] && int.TryParse(token.Value, out int count) && count is < 0 or > 1024) result.AddError("--threads must be 0 to 1024."); } },
        HelpName = "N",
    };

    /// <summary>The device that was asked for.</summary>
    public DeviceOptions Devices(ParseResult parsed) => new() { Devices = [parsed.GetValue(Device)!], Threads = parsed.GetValue(Threads) };

    public Option<bool> Overwrite { get; } = new("--overwrite") { Description = "Replace complete outputs of earlier runs." };

    public Option<bool> Json { get; } = new("--json") { Description = "Print one JSON object a result instead of text, and no progress." };

    public Option<bool> Verbose { get; } = new("--verbose") { Description = "Log what the silo does to the standard error." };
}
