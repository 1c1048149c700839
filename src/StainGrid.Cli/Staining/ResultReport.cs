using System.Globalization;
using System.Text.Json.Nodes;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Cli;

/// <summary>Tells how a slide ended, as text or JSON.</summary>
internal static class ResultReport
{
    public static void Write(StainResult result, string? preview, bool json, JsonObject? more = null)
    {
        var (status, request) = (result.Status, result.Request);
        if (json)
        {
            var line = new JsonObject
            {
                ["input"] = new JsonArray([.. request.Files.Select(file => JsonValue.Create(BlobAddress.Show(file)))]),
                ["state"] = status.State.ToString().ToLowerInvariant(),
                ["output"] = status.State == SlideState.Complete ? request.Output : null,
                ["preview"] = preview,
                ["error"] = status.Error,
                ["tiles"] = status.TilesDone,
                ["seconds"] = Math.Round(result.Elapsed.TotalSeconds, 3),
                ["seam_score"] = status.Report?.Check.SeamScore,
                ["blocks_retried"] = status.Report?.BlocksRetried,
            };
            foreach (var (key, value) in more?.ToArray() ?? [])
                line[key] = value?.DeepClone();
            Console.Out.WriteLine(line.ToJsonString());
            return;
        }

        switch (status.State)
        {
            case SlideState.Complete:
                string seconds = result.Elapsed.TotalSeconds.ToString("F1", CultureInfo.InvariantCulture);
                Console.Out.WriteLine($"{result.Name}: done in {seconds} s, {status.TilesTotal} tiles");
                Console.Out.WriteLine($"  image    {request.Output}");
                if (preview is not null)
                    Console.Out.WriteLine($"  picture  {preview}");
                break;
            case SlideState.Cancelled:
                Console.Error.WriteLine($"{result.Name}: cancelled; {request.Output} is marked incomplete.");
                break;
            default:
                Failure(result.Name, status.Error ?? "failed without a reason", json: false);
                break;
        }
    }

    /// <summary>An input that failed before it became a slide.</summary>
    public static void Failure(string name, string error, bool json)
    {
        if (json)
            Console.Out.WriteLine(new JsonObject { ["input"] = new JsonArray(name), ["state"] = "failed", ["error"] = error }.ToJsonString());
        else
            Console.Error.WriteLine(error.StartsWith(name, StringComparison.Ordinal) ? error : $"{name}: {error}");
    }
}
