// The table of the fields' quality (staingrid-fields.csv), one row a field and channel.
export interface QualityRow { well: string; channel: string; figures: Record<string, number> }

export const FIGURES: readonly { key: string; title: string; ofChannel: boolean; digits: number }[] = [
  { key: "Mean", title: "Mean intensity", ofChannel: true, digits: 0 },
  { key: "P1", title: "1st percentile", ofChannel: true, digits: 0 },
  { key: "P99", title: "99th percentile", ofChannel: true, digits: 0 },
  { key: "SeamScore", title: "Seam score (1 is seamless)", ofChannel: false, digits: 3 },
  { key: "MisweightedPixels", title: "Misweighted pixels", ofChannel: false, digits: 0 },
  { key: "BlocksRetried", title: "Blocks computed again", ofChannel: false, digits: 0 },
];

/** The records of a CSV text (RFC 4180). */
export function parseCsv(text: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [], cell = "", quoted = false;
  for (let i = 0; i < text.length; i++) {
    const letter = text[i];
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[i + 1] === '"') cell += text[++i];
      else quoted = false;
    } else if (letter === '"') quoted = true;
    else if (letter === ",") {
      record.push(cell);
      cell = "";
    } else if (letter === "\n") {
      record.push(cell);
      records.push(record);
      record = [];
      cell = "";
    } else if (letter !== "\r") cell += letter;
  }
  if (cell !== "" || record.length > 0) records.push([...record, cell]);
  return records;
}

export function readQuality(csv: string): QualityRow[] {
  const [header, ...rows] = parseCsv(csv);
  const column = (name: string) => header?.indexOf(name) ?? -1;
  const [well, state, channel] = [column("Well"), column("State"), column("Channel")];
  return rows.filter(row => row[state] === "complete" && row[channel]).map(row => ({
    well: row[well],
    channel: row[channel],
    figures: Object.fromEntries(FIGURES.map(figure => [figure.key, row[column(figure.key)]])
      .filter(([, value]) => value !== undefined && value !== "").map(([key, value]) => [key, Number(value)])),
  }));
}

/** A figure's mean over the fields of each well. */
export function perWell(rows: readonly QualityRow[], channel: string, figure: string): Map<string, number> {
  const sums = new Map<string, { sum: number; count: number }>();
  for (const row of rows) {
    const value = row.figures[figure];
    if (row.channel !== channel || !Number.isFinite(value)) continue;
    const { sum, count } = sums.get(row.well) ?? { sum: 0, count: 0 };
    sums.set(row.well, { sum: sum + value, count: count + 1 });
  }
  return new Map([...sums].map(([well, { sum, count }]) => [well, sum / count]));
}

// Anchors of a scale from dark blue over green to yellow that also reads in grey.
const SCALE = [[68, 1, 84], [65, 68, 135], [42, 120, 142], [34, 168, 132], [122, 209, 81], [253, 231, 37]];

/** A colour for 0 to 1, and whether black letters are read better on it than white ones. */
export function scaleColour(value: number): { colour: string; darkText: boolean } {
  const place = Math.min(Math.max(value, 0), 1) * (SCALE.length - 1), at = Math.min(Math.floor(place), SCALE.length - 2);
  const rgb = SCALE[at].map((from, i) => Math.round(from + (SCALE[at + 1][i] - from) * (place - at)));
  const linear = rgb.map(part => ((part / 255) <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return { colour: `rgb(${rgb.join(" ")})`, darkText: 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 };
}
