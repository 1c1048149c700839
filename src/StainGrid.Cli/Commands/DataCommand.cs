using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Cli;

/// <summary>`staingrid data`.</summary>
internal static class DataCommand
{
    public static Command Create()
    {
        var data = new Argument<string>("DATA") { Description = "A folder of In Silico Labeling's PNG files, or a manifest (.csv) of your own pairs." };
        var json = new Option<bool>("--json") { Description = "Print JSON." };
        var command = new Command("data",
            """
            Say what there is to train on, and check it: fields, planes, labels, sizes and conditions, and what is left out and why.
            Every file is read to its end, so that a damaged or black image shows now and not after hours of training.

            A folder has the files of In Silico Labeling by their names (LAB/CONDITION/NAME.png, also below train/ or test/, or all in
            one folder). Masks, predictions and images of several channels are left out, and fields without transmitted
            light, without a label, or with a gap in their planes.

            A manifest names your own pairs, with paths below its folder. One row a field, image is a file of all planes:
              field,condition,well,image,DAPI_CONFOCAL,MAP2_CONFOCAL
              1,drug,B02,b02_1_phase.tif,b02_1_dapi.tif,b02_1_map2.tif
              2,drug,B02,b02_2_phase.tif,b02_2_dapi.tif,
            or one row a plane, with its number (labels need be named once):
              field,well,plane,image,DAPI_CONFOCAL
              1,B02,0,b02_1_z0.png,b02_1_dapi.png
              1,B02,1,b02_1_z1.png,

            Examples:
              staingrid data ../shared/data/isl-condition-b
              staingrid data pairs.csv --json

            Exit codes: 0 all of its fields can be used; 1 there is none, or there are problems.
            """)
        {
            data,
            json,
        };
        command.Computes((parsed, cancellationToken) =>
        {
            var found = PairedData.Discover(parsed.GetValue(data)!);
            DataPreflight preflight;
            using (var line = new ProgressLine())
                preflight = DataPreflight.Run(found.Fields, line.IsTerminal ? new Percent(line) : null, cancellationToken);
            if (parsed.GetValue(json))
                Console.Out.WriteLine(Json(found, preflight).ToJsonString());
            else
                Print(found, preflight);
            return found.Fields.Count > 0 && preflight.Problems.Count == 0 ? ExitCodes.Done : ExitCodes.Failed;
        });
        return command;
    }

    /// <summary>The fields of data; says where some are left out.</summary>
    /// <exception cref="ImageException">There is no field.</exception>
    public static IReadOnlyList<PairedField> Found(string path, bool json)
    {
        var data = PairedData.Discover(path);
        if (data.Fields.Count == 0)
            throw new ImageException($"{path} has no field that can be used. 'staingrid data {path}' says why.");
        if (data.LeftOut.Count > 0 && !json)
            Console.Error.WriteLine($"{path}: {data.LeftOut.Count} fields or files are left out; 'staingrid data {path}' says why.");
        return data.Fields;
    }

    /// <summary>The fields of data, each file of which was read to its end.</summary>
    /// <exception cref="ImageException">There is no field, or something is wrong with one.</exception>
    public static IReadOnlyList<PairedField> Checked(string path, bool json, CancellationToken cancellationToken)
    {
        var fields = Found(path, json);
        using (var line = new ProgressLine())
            DataPreflight.Run(fields, line.IsTerminal && !json ? new Percent(line) : null, cancellationToken).ThrowIfAny();
        return fields;
    }

    private static void Print(PairedData data, DataPreflight preflight)
    {
        foreach (var condition in preflight.Fields.GroupBy(field => field.Field.Condition).OrderBy(condition => condition.Key, StringComparer.Ordinal))
        {
            Console.Out.WriteLine(Invariant($"condition {(condition.Key.Length > 0 ? condition.Key : "(none)")}: {Count(condition.Count(), "field")}, {Count(condition.Select(field => field.Field.Well).Distinct().Count(), "well")}"));
            foreach (var field in condition)
            {
                Console.Out.WriteLine(Invariant($"  {field.Field.Name}  {field.Width}x{field.Height}, {Count(field.Planes, "plane")} of {Bits(field.PixelType)} bit; ")
                    + string.Join(", ", field.Labels.Select(label => Invariant($"{label.Key} ({Bits(label.Value)} bit)"))));
            }
        }

        if (data.LeftOut.Count > 0)
            Console.Out.WriteLine("left out:");
        foreach (var (what, why) in data.LeftOut)
            Console.Out.WriteLine($"  {what}: {why}");
        foreach (string note in data.Notes)
            Console.Out.WriteLine($"note: {note}");
        foreach (string problem in preflight.Problems)
            Console.Error.WriteLine(problem);
        if (data.Fields.Count == 0)
            Console.Error.WriteLine($"{data.Source} has no field that can be used.");
    }

    private static JsonObject Json(PairedData data, DataPreflight preflight) => new()
    {
        ["data"] = data.Source,
        ["fields"] = new JsonArray([.. preflight.Fields.Select(field => new JsonObject
        {
            ["name"] = field.Field.Name,
            ["condition"] = field.Field.Condition,
            ["well"] = field.Field.Well,
            ["width"] = field.Width,
            ["height"] = field.Height,
            ["planes"] = field.Planes,
            ["pixel_type"] = field.PixelType.ToString().ToLowerInvariant(),
            ["labels"] = new JsonObject(field.Labels.Select(label => KeyValuePair.Create(label.Key, (JsonNode?)label.Value.ToString().ToLowerInvariant()))),
        })]),
        ["left_out"] = new JsonArray([.. data.LeftOut.Select(left => new JsonObject { ["what"] = left.What, ["why"] = left.Why })]),
        ["notes"] = new JsonArray([.. data.Notes.Select(note => JsonValue.Create(note))]),
        ["problems"] = new JsonArray([.. preflight.Problems.Select(problem => JsonValue.Create(problem))]),
    };

    private static int Bits(PixelType type) => type.Bytes() * 8;

    private static string Count(int count, string noun) => Invariant($"{count:N0} {noun}{(count == 1 ? "" : "s")}");

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    // In its caller's thread: Progress<T> would still write when the line is gone.
    private sealed class Percent(ProgressLine line) : IProgress<double>
    {
        private readonly Lock gate = new();

        public void Report(double value)
        {
            lock (gate)
                line.Show(Invariant($"reading {value:P0}"));
        }
    }
}
