// An MSBuild task: copies a 64-bit little-endian ELF library and marks one needed symbol version weak (VER_FLG_WEAK in
// its vna_flags, section .gnu.version_r). Layout: ELF-64 Object File Format; Linux Standard Base, "Symbol Versioning".
using System;
using System.IO;
using System.Text;
using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

public sealed class WeakenSymbolVersionNeed : Task
{
    private const uint GnuVersionNeed = 0x6ffffffe;
    private const byte WeakFlag = 2;

    [Required] public string Source { get; set; } = "";
    [Required] public string Destination { get; set; } = "";
    [Required] public string SymbolVersion { get; set; } = "";

    public override bool Execute()
    {
        if (File.Exists(Destination) && File.GetLastWriteTimeUtc(Destination) >= File.GetLastWriteTimeUtc(Source)
            && new FileInfo(Destination).Length == new FileInfo(Source).Length)
        {
            return true;
        }

        try
        {
            byte[] elf = File.ReadAllBytes(Source);
            int weakened = Weaken(elf, SymbolVersion);
            Directory.CreateDirectory(Path.GetDirectoryName(Destination));
            string partial = Destination + ".partial";
            File.WriteAllBytes(partial, elf);
            if (File.Exists(Destination)) File.Delete(Destination);
            File.Move(partial, Destination);
            Log.LogMessage(MessageImportance.Normal, "{0}: {1} need(s) of {2} marked weak.", Destination, weakened, SymbolVersion);
            return true;
        }
        catch (Exception e) when (e is IOException || e is UnauthorizedAccessException || e is OverflowException || e is IndexOutOfRangeException)
        {
            Log.LogError("{0}: the needed symbol version {1} could not be marked weak: {2}", Source, SymbolVersion, e.Message);
            return false;
        }
    }

    private static int Weaken(byte[] elf, string version)
    {
        if (elf.Length < 64 || elf[0] != 0x7f || elf[1] != 'E' || elf[2] != 'L' || elf[3] != 'F' || elf[4] != 2 || elf[5] != 1)
        {
            throw new IOException("not a 64-bit little-endian ELF file.");
        }

        int count = 0;
        int sections = checked((int)U64(elf, 0x28)), sectionSize = U16(elf, 0x3a), sectionCount = U16(elf, 0x3c);
        for (int s = 0; s < sectionCount; s++)
        {
            int section = sections + s * sectionSize;
            if (U32(elf, section + 4) != GnuVersionNeed) continue;
            int strings = checked((int)U64(elf, sections + (int)U32(elf, section + 0x28) * sectionSize + 0x18));
            int need = checked((int)U64(elf, section + 0x18));
            for (int n = (int)U32(elf, section + 0x2c); n > 0; n--)
            {
                int aux = need + (int)U32(elf, need + 8);
                for (int a = U16(elf, need + 2); a > 0; a--)
                {
                    if (NameAt(elf, strings + (int)U32(elf, aux + 8)) == version)
                    {
                        elf[aux + 4] |= WeakFlag;
                        count++;
                    }

                    aux += (int)U32(elf, aux + 12);
                }

                need += (int)U32(elf, need + 12);
            }
        }

        return count;
    }

    private static string NameAt(byte[] elf, int at) => Encoding.ASCII.GetString(elf, at, Array.IndexOf(elf, (byte)0, at) - at);
    private static ushort U16(byte[] elf, int at) => (ushort)(elf[at] | elf[at + 1] << 8);
    private static uint U32(byte[] elf, int at) => U16(elf, at) | (uint)U16(elf, at + 2) << 16;
    private static ulong U64(byte[] elf, int at) => U32(elf, at) | (ulong)U32(elf, at + 4) << 32;
}
