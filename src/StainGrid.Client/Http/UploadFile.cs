namespace StainGrid.Client;

/// <summary>A file to upload.</summary>
/// <param name="Name">Its name there: no folders; with a PNG's, TIFF's, CSV's or JSON's ending.</param>
/// <param name="Path">Where it is here.</param>
public sealed record UploadFile(string Name, string Path);

/// <summary>How far an upload is, by what the service has confirmed.</summary>
/// <param name="Bytes">Bytes that are there.</param>
/// <param name="TotalBytes">Bytes in all.</param>
/// <param name="Files">Files that are whole.</param>
/// <param name="TotalFiles">Files in all.</param>
public sealed record UploadProgress(long Bytes, long TotalBytes, int Files, int TotalFiles);
