using System.Text.Json.Nodes;
using StainGrid.Imaging.Zarr;

namespace StainGrid.Imaging;

/// <summary>Writes the metadata of an OME-Zarr HCS plate (NGFF 0.4, "plate" and "well") around images that are written by
/// <see cref="OmeZarrWriter"/> at each field's <see cref="PlateField.Path"/>. What it lists is complete, so the plate can be
/// read while it grows. The same fields give the same bytes. One writer a plate; calls may overlap.</summary>
/// <param name="store">The store whose root is the plate.</param>
/// <param name="layout">The whole plate.</param>
/// <param name="attributes">What made the plate, written under "staingrid"; null for nothing.</param>
public sealed class HcsPlateWriter(IBlobStore store, PlateLayout layout, JsonObject? attributes = null) : IDisposable
{
    private readonly SemaphoreSlim _turn = new(1);
    private readonly Dictionary<(string Row, int Column), SortedSet<int>> _wells = [];
    private readonly HashSet<string> _groups = [];
    private bool _stale;

    /// <summary>Lists fields, beside those that this writer has listed; writes nothing for these again.</summary>
    /// <param name="complete">Fields of the layout, whose images are complete; none for the root's group alone: NGFF knows no plate
    /// without wells.</param>
    /// <param name="cancellationToken">Stops the writing.</param>
    public async Task WriteAsync(IReadOnlyCollection<PlateField> complete, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(complete);
        await _turn.WaitAsync(cancellationToken);
        try
        {
            await GroupAsync("", cancellationToken);
            foreach (var well in complete.GroupBy(field => (field.Row, field.Column)))
            {
                string path = string.Create(CultureInfo.InvariantCulture, $"{well.Key.Row}/{well.Key.Column}/");
                var listed = _wells.GetValueOrDefault(well.Key) ?? [];
                SortedSet<int> fields = [.. listed, .. well.Select(field => field.Field)];
                if (fields.Count == listed.Count)
                    continue;
                await GroupAsync($"{well.Key.Row}/", cancellationToken);
                await GroupAsync(path, cancellationToken);
                await store.WriteAsync(path + OmeZarrMetadata.AttributesKey, OmeZarrMetadata.Bytes(new JsonObject
                {
                    ["well"] = new JsonObject
                    {
                        ["version"] = "0.4",
                        ["images"] = new JsonArray([.. fields.Select(field => new JsonObject { ["path"] = field.ToString(CultureInfo.InvariantCulture) })]),
                    },
                }), cancellationToken);
                _wells[well.Key] = fields;
                _stale = true;
            }

            if (_stale)
                await store.WriteAsync(OmeZarrMetadata.AttributesKey, OmeZarrMetadata.Bytes(Plate()), cancellationToken);
            _stale = false;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _turn.Dispose();

    private JsonObject Plate()
    {
        var rows = layout.Rows.Index().ToDictionary(row => row.Item, row => row.Index);
        var json = new JsonObject
        {
            ["plate"] = new JsonObject
            {
                ["version"] = "0.4",
                ["name"] = layout.Name,
                ["field_count"] = layout.Fields.Max(field => field.Field) + 1,
                ["rows"] = Names(layout.Rows),
                ["columns"] = Names(layout.Columns),
                ["wells"] = new JsonArray([.. _wells.Keys.OrderBy(well => rows[well.Row]).ThenBy(well => well.Column).Select(well => new JsonObject
                {
                    ["path"] = string.Create(CultureInfo.InvariantCulture, $"{well.Row}/{well.Column}"),
                    ["rowIndex"] = rows[well.Row],
                    ["columnIndex"] = well.Column - 1,
                })]),
            },
        };
        if (attributes is not null)
            json["staingrid"] = attributes.DeepClone();
        return json;

        static JsonArray Names(IEnumerable<string> names) => new([.. names.Select(name => new JsonObject { ["name"] = name })]);
    }

    private async Task GroupAsync(string path, CancellationToken cancellationToken)
    {
        if (_groups.Contains(path))
            return;
        await store.WriteAsync(path + OmeZarrMetadata.GroupKey, OmeZarrMetadata.Group(), cancellationToken);
        _groups.Add(path);
    }
}
