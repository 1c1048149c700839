using System.Globalization;
using System.Net;
using System.Text;

namespace StainGrid.Model;

/// <summary>Headings, paragraphs, tables and pictures, written as Markdown and as HTML.</summary>
internal sealed class ReportDocument
{
    private readonly StringBuilder markdown = new();
    private readonly StringBuilder html = new();
    private readonly string folder;

    /// <summary>An empty document.</summary>
    /// <param name="title">Its title.</param>
    /// <param name="folder">The folder of the pictures.</param>
    public ReportDocument(string title, string folder)
    {
        this.folder = folder;
        html.Append(CultureInfo.InvariantCulture, $$"""
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <title>{{Encode(title)}}</title>
            <style>
            body { font: 15px/1.45 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; color: #222; }
            table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; }
            th, td { padding: .25em .8em; border-bottom: 1px solid #ddd; text-align: right; }
            th:first-child, td:first-child { text-align: left; }
            img { max-width: 100%; }
            figure { margin: 1em 0; }
            figcaption { color: #555; }
            </style>
            </head>
            <body>

            """);
        Heading(1, title);
    }

    /// <summary>A heading, 1 the largest.</summary>
    public void Heading(int level, string text)
    {
        markdown.Append(CultureInfo.InvariantCulture, $"{new string('#', level)} {Escape(text)}\n\n");
        html.Append(CultureInfo.InvariantCulture, $"<h{level}>{Encode(text)}</h{level}>\n");
    }

    /// <summary>A paragraph.</summary>
    public void Paragraph(string text)
    {
        markdown.Append(CultureInfo.InvariantCulture, $"{Escape(text)}\n\n");
        html.Append(CultureInfo.InvariantCulture, $"<p>{Encode(text)}</p>\n");
    }

    /// <summary>A table: words in the first column, numbers in the others.</summary>
    public void Table(IReadOnlyList<string> header, IEnumerable<IReadOnlyList<string>> rows)
    {
        markdown.Append(CultureInfo.InvariantCulture, $"| {string.Join(" | ", header.Select(Escape))} |\n|{string.Concat(header.Select((_, i) => i == 0 ? "---|" : "--:|"))}\n");
        html.Append(CultureInfo.InvariantCulture, $"<table>\n<tr>{string.Concat(header.Select(cell => $"<th>{Encode(cell)}</th>"))}</tr>\n");
        foreach (var row in rows)
        {
            markdown.Append(CultureInfo.InvariantCulture, $"| {string.Join(" | ", row.Select(Escape))} |\n");
            html.Append(CultureInfo.InvariantCulture, $"<tr>{string.Concat(row.Select(cell => $"<td>{Encode(cell)}</td>"))}</tr>\n");
        }

        markdown.Append('\n');
        html.Append("</table>\n");
    }

    /// <summary>A PNG of the folder; HTML holds a copy of it.</summary>
    public void Picture(string file, string caption)
    {
        string data = Convert.ToBase64String(File.ReadAllBytes(Path.Combine(folder, file)));
        markdown.Append(CultureInfo.InvariantCulture, $"![{Escape(caption)}]({Uri.EscapeDataString(file)})\n\n*{Escape(caption)}*\n\n");
        html.Append(CultureInfo.InvariantCulture, $"<figure><img alt=\"{Encode(caption)}\" src=\"data:image/png;base64,{data}\"><figcaption>{Encode(caption)}</figcaption></figure>\n");
    }

    /// <summary>The document as Markdown.</summary>
    public string ToMarkdown() => markdown.ToString().TrimEnd('\n') + "\n";

    /// <summary>The document as HTML, of one file.</summary>
    public string ToHtml() => $"{html}</body>\n</html>\n";

    private static string Encode(string text) => WebUtility.HtmlEncode(text);

    // Names of files and labels hold what Markdown would read as marks.
    private static string Escape(string text)
    {
        var escaped = new StringBuilder(text.Length);
        foreach (char c in text.ReplaceLineEndings(" "))
            escaped.Append(c is '\\' or '`' or '*' or '_' or '[' or ']' or '<' or '>' or '|' or '#' ? $"\\{c}" : c.ToString());
        return escaped.ToString();
    }
}
