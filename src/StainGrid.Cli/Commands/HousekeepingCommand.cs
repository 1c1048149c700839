using System.CommandLine;
using System.Text.Json.Nodes;
using StainGrid.Client;

namespace StainGrid.Cli;

/// <summary>`staingrid housekeeping`.</summary>
internal static class HousekeepingCommand
{
    public static Command Create()
    {
        var dryRun = new Option<bool>("--dry-run") { Description = "Only say what is due." };
        var json = new Option<bool>("--json") { Description = "Print JSON." };
        var cluster = new ClusterChoice();
        var command = new Command("housekeeping",
            """
            Delete now what a cluster's service keeps longer than its silos' --keep-results, --keep-uploads and --keep-audit say, 100 of each at once.
            The silos do the same by themselves every hour.

            Exit codes: 0 done; 1 something could not be listed or deleted, a clock is wrong, or the cluster does not answer; 2 the command line is wrong.
            """)
        {
            dryRun, json,
        };
        cluster.AddTo(command);
        command.Runs(async (parsed, cancellationToken) =>
        {
            await using var connection = await cluster.ConnectAsync(parsed, cancellationToken);
            var report = await new GrainClient(connection.Grains).RunRetentionAsync(parsed.GetValue(dryRun), cancellationToken);
            if (report.Refused is { } why)
                Console.Error.WriteLine($"staingrid: nothing is deleted: {why}");
            if (parsed.GetValue(json))
            {
                Console.Out.WriteLine(new JsonObject
                {
                    ["plates"] = Names(report.Plates),
                    ["uploads"] = Names(report.Uploads),
                    ["audit_days"] = Names(report.AuditDays),
                    ["failures"] = report.Failures,
                    ["has_more"] = report.HasMore,
                    ["refused"] = report.Refused,
                }.ToJsonString());
            }
            else
            {
                string does = parsed.GetValue(dryRun) ? "is due" : "goes";
                foreach (string line in (string[])[.. report.Plates.Select(plate => $"plate {plate}"), .. report.Uploads.Select(upload => $"upload {upload}"), .. report.AuditDays.Select(day => $"audit log {day}")])
                    Console.Out.WriteLine($"{line} {does}");
                Console.Out.WriteLine($"{report.Plates.Count} plates, {report.Uploads.Count} uploads, {report.AuditDays.Count} days of the audit log{(report.HasMore ? ", and more" : "")}{(report.Failures > 0 ? $"; {report.Failures} could not be listed or deleted: see the silos' logs" : "")}");
            }

            return report.Failures > 0 || report.Refused is not null ? ExitCodes.Failed : ExitCodes.Done;
        });
        return command;
    }

    private static JsonArray Names(IReadOnlyList<string> names) => new([.. names.Select(name => JsonValue.Create(name))]);
}
