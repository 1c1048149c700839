using System.Collections.Concurrent;
using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace StainGrid.Faults.Tests;

/// <summary>A span as a collector gets it.</summary>
/// <param name="Service">service.instance.id of its process.</param>
/// <param name="Trace">Its trace's id.</param>
/// <param name="Id">Its own.</param>
/// <param name="Parent">Its parent's; empty for a root.</param>
/// <param name="Name">What it is of.</param>
/// <param name="Start">Unix time, nanoseconds.</param>
/// <param name="End">Unix time, nanoseconds.</param>
/// <param name="Attributes">Its attributes, as text.</param>
/// <param name="Links">The traces that it links to.</param>
internal sealed record ReceivedSpan(
    string Service, string Trace, string Id, string Parent, string Name, ulong Start, ulong End, IReadOnlyDictionary<string, string> Attributes, IReadOnlyList<string> Links);

/// <summary>A log record as a collector gets it.</summary>
/// <param name="Service">service.instance.id of its process.</param>
/// <param name="Trace">The trace that it belongs to; empty for none.</param>
/// <param name="Body">The message.</param>
internal sealed record ReceivedLog(string Service, string Trace, string Body);

/// <summary>An OTLP collector over HTTP that keeps what it is sent; it reads the protocol's own bytes (opentelemetry-proto, trace/v1, logs/v1).</summary>
internal sealed class OtlpReceiver : IAsyncDisposable
{
    private readonly WebApplication app;

    private OtlpReceiver(WebApplication app) => this.app = app;

    /// <summary>The spans that came.</summary>
    public ConcurrentQueue<ReceivedSpan> Spans { get; } = [];

    /// <summary>The log records that came.</summary>
    public ConcurrentQueue<ReceivedLog> Logs { get; } = [];

    /// <summary>The names of the metrics that came.</summary>
    public ConcurrentDictionary<string, bool> Metrics { get; } = [];

    /// <summary>What a silo needs in its environment to send here.</summary>
    public IReadOnlyDictionary<string, string> Environment => new Dictionary<string, string>
    {
        ["STAINGRID_OTLP"] = app.Urls.First(),
        ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
        ["OTEL_BSP_SCHEDULE_DELAY"] = "500",
    };

    public static async Task<OtlpReceiver> StartAsync(CancellationToken cancellationToken)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var receiver = new OtlpReceiver(builder.Build());
        receiver.app.MapPost("/v1/{signal}", receiver.ReceiveAsync);
        await receiver.app.StartAsync(cancellationToken);
        return receiver;
    }

    public async ValueTask DisposeAsync() => await app.DisposeAsync();

    private async Task<IResult> ReceiveAsync(string signal, HttpRequest request)
    {
        using var body = new MemoryStream();
        await request.Body.CopyToAsync(body);
        foreach (var resource in Fields(body.ToArray()).Where(field => field.Number == 1))
        {
            var parts = Fields(resource.Bytes).ToLookup(field => field.Number);
            string service = Attributes(parts[1].SelectMany(part => Fields(part.Bytes)), 1).GetValueOrDefault("service.instance.id", "");
            foreach (var item in parts[2].SelectMany(scope => Fields(scope.Bytes)).Where(field => field.Number == 2))
            {
                var fields = Fields(item.Bytes).ToLookup(field => field.Number);
                if (signal == "traces")
                    Spans.Enqueue(Span(service, fields));
                else if (signal == "logs")
                    Logs.Enqueue(new ReceivedLog(service, Hex(fields[9]), fields[5].SelectMany(value => Fields(value.Bytes)).Select(Text).FirstOrDefault("")));
                else
                    Metrics[Text(fields[1].First())] = true;
            }
        }

        return Results.Bytes(Array.Empty<byte>(), "application/x-protobuf");
    }

    private static ReceivedSpan Span(string service, ILookup<int, Field> fields) => new(
        service, Hex(fields[1]), Hex(fields[2]), Hex(fields[4]), Text(fields[5].First()), fields[7].First().Number64, fields[8].First().Number64,
        Attributes(fields[9].Select(field => field with { Number = 9 }), 9), [.. fields[13].Select(link => Hex(Fields(link.Bytes).Where(field => field.Number == 1)))]);

    private static Dictionary<string, string> Attributes(IEnumerable<Field> fields, int number) => fields.Where(field => field.Number == number).Select(field => Fields(field.Bytes).ToList()).ToDictionary(
        pair => Text(pair.First(field => field.Number == 1)),
        pair => pair.Where(field => field.Number == 2).SelectMany(value => Fields(value.Bytes)).Select(value => value.Bytes.Length > 0 ? Text(value) : $"{value.Number64}").FirstOrDefault(""));

    private static string Text(Field field) => System.Text.Encoding.UTF8.GetString(field.Bytes);

    private static string Hex(IEnumerable<Field> fields) => fields.Select(field => Convert.ToHexStringLower(field.Bytes)).FirstOrDefault("");

    // Every field of a message, by the wire format alone.
    private static List<Field> Fields(byte[] message)
    {
        var fields = new List<Field>();
        var input = new CodedInputStream(message);
        while (input.ReadTag() is var tag and not 0)
        {
            int number = WireFormat.GetTagFieldNumber(tag);
            fields.Add(WireFormat.GetTagWireType(tag) switch
            {
                WireFormat.WireType.Varint => new Field(number, [], input.ReadUInt64()),
                WireFormat.WireType.Fixed64 => new Field(number, [], input.ReadFixed64()),
                WireFormat.WireType.Fixed32 => new Field(number, [], input.ReadFixed32()),
                WireFormat.WireType.LengthDelimited => new Field(number, input.ReadBytes().ToByteArray(), 0),
                var other => throw new InvalidDataException($"OTLP has no fields of wire type {other}."),
            });
        }

        return fields;
    }

    private sealed record Field(int Number, byte[] Bytes, ulong Number64);
}
