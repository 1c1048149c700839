namespace StainGrid.Cli.Doctor;

/// <summary>How something is.</summary>
internal enum Health
{
    /// <summary>Right.</summary>
    Ok,

    /// <summary>Not asked for.</summary>
    Skip,

    /// <summary>It works, but will not do for what it is for, or only for now.</summary>
    Warn,

    /// <summary>It does not work.</summary>
    Fail,
}

/// <summary>What a check found, in one line.</summary>
/// <param name="Check">What was looked at, as "store state".</param>
/// <param name="Health">How it is.</param>
/// <param name="Text">What was seen.</param>
/// <param name="Remedy">What to do; null where nothing is to be done.</param>
internal sealed record Finding(string Check, Health Health, string Text, string? Remedy = null)
{
    public static Finding Ok(string check, string text) => new(check, Health.Ok, text);

    public static Finding Skip(string check, string remedy) => new(check, Health.Skip, "not checked", remedy);

    public static Finding Warn(string check, string text, string remedy) => new(check, Health.Warn, text, remedy);

    public static Finding Fail(string check, string text, string remedy) => new(check, Health.Fail, text, remedy);

    /// <summary>For people.</summary>
    public override string ToString() => OneLine($"{Health.ToString().ToUpperInvariant(),-4}  {Check}: {Text}{(Remedy is null ? "" : $"{(Text.EndsWith('.') ? "" : ".")} {Remedy}")}");

    private static string OneLine(string text) => new([.. text.Select(c => char.IsControl(c) ? ' ' : c)]);
}
