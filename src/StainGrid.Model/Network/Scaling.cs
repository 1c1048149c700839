namespace StainGrid.Model;

/// <summary>What a layer between two stages does to height and width.</summary>
public enum Scaling
{
    /// <summary>Halves them (GDT, the global down transformer).</summary>
    Down,

    /// <summary>Keeps them (GST, the global same transformer).</summary>
    Same,

    /// <summary>Doubles them (GUT, the global up transformer).</summary>
    Up,
}
