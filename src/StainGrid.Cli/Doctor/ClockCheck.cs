using System.Globalization;

namespace StainGrid.Cli.Doctor;

/// <summary>How far another's clock is from this machine's.</summary>
internal static class ClockCheck
{
    /// <summary>What is told apart from the time that asking takes: signatures, versions of watches and ages of files come from these clocks.</summary>
    private static readonly TimeSpan Most = TimeSpan.FromSeconds(2);

    /// <param name="check">What was asked.</param>
    /// <param name="time">What it said.</param>
    /// <param name="before">This machine's time before that.</param>
    /// <param name="after">And after it.</param>
    /// <param name="unit">What the other's clock is read in.</param>
    public static Finding Of(string check, DateTimeOffset time, DateTimeOffset before, DateTimeOffset after, TimeSpan unit)
    {
        var off = time > after ? time - after : time + unit < before ? time + unit - before : TimeSpan.Zero;
        string text = string.Create(CultureInfo.InvariantCulture, $"{off.TotalSeconds:+0.0;-0.0;0.0} s from this machine's");
        return off.Duration() <= Most ? Finding.Ok(check, text) : Finding.Warn(check, text, "Let both follow one time server (chrony, systemd-timesyncd).");
    }
}
