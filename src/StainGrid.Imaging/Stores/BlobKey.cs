namespace StainGrid.Imaging;

/// <summary>The rules for keys.</summary>
public static class BlobKey
{
    /// <summary>The folder that <see cref="FolderBlobStore"/> keeps for itself.</summary>
    internal const string Reserved = ".staingrid-locks";

    /// <summary>The end of the names of files that are being written.</summary>
    internal const string Partial = ".partial";

    /// <summary>Throws for a key that is empty, absolute, longer than 1,024 characters, has a part that is empty, ".",
    /// "..", longer than 200 characters or reserved here, or has a backslash, a colon or a control character.</summary>
    /// <param name="key">A key.</param>
    /// <exception cref="ArgumentException">The key is refused; the message says why.</exception>
    public static void Check(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        if (key.Length is 0 or > 1024)
            throw Refused(key, $"has {key.Length} characters; 1 to 1,024 are allowed");
        foreach (char c in key)
        {
            if (c is '\\' or ':' || char.IsControl(c) || char.IsSurrogate(c))
                throw Refused(key, "has a backslash, a colon, or a character outside the plain ones");
        }

        foreach (string part in key.Split('/'))
        {
            if (part.Length is 0 or > 200 || part is "." or ".." || part == Reserved || part.EndsWith(Partial, StringComparison.Ordinal))
                throw Refused(key, part.Length == 0 ? "is absolute, ends with '/' or has an empty part" : "has a part that is not allowed");
        }
    }

    private static ArgumentException Refused(string key, string why) =>
        new($"The key \"{ImageException.OneLine(key.Length > 80 ? key[..80] + ".." : key)}\" {why}.", nameof(key));
}
