import type { FieldStatus } from "./api";

const FORMATS = [[2, 3], [3, 4], [4, 6], [6, 8], [8, 12], [16, 24], [32, 48]];

export function rowName(row: number): string {
  return row < 26 ? String.fromCharCode(65 + row) : rowName(Math.floor(row / 26) - 1) + rowName(row % 26);
}

/** "B07" as row 1, column 6. */
export function placeOf(well: string): { row: number; column: number } {
  const [, letters, digits] = /^([A-Z]+)0*(\d+)$/.exec(well) ?? [null, "A", "1"];
  return { row: [...letters].reduce((row, letter) => row * 26 + letter.charCodeAt(0) - 64, 0) - 1, column: Number(digits) - 1 };
}

/** The smallest usual plate that has all of the wells. */
export function formatOf(wells: Iterable<string>): { rows: number; columns: number } {
  let rows = 1, columns = 1;
  for (const well of wells) {
    const place = placeOf(well);
    rows = Math.max(rows, place.row + 1);
    columns = Math.max(columns, place.column + 1);
  }
  const format = FORMATS.find(each => rows <= each[0] && columns <= each[1]);
  return format ? { rows: format[0], columns: format[1] } : { rows, columns };
}

/** What a well's fields come to. */
export interface WellSummary { well: string; state: "pending" | "running" | "complete" | "failed" | "cancelled"; share: number; fields: FieldStatus[]; text: string }

export function summarise(fields: Iterable<FieldStatus>): Map<string, WellSummary> {
  const wells = new Map<string, FieldStatus[]>();
  for (const field of fields) {
    const found = wells.get(field.well);
    if (found) found.push(field);
    else wells.set(field.well, [field]);
  }
  return new Map([...wells].map(([well, list]) => {
    const count = (state: string) => list.filter(field => field.state === state).length;
    const [complete, failed, cancelled, running] = ["complete", "failed", "cancelled", "running"].map(count);
    const share = list.reduce((sum, field) => sum + shareOf(field), 0) / list.length;
    const state = failed > 0 ? "failed" : running > 0 ? "running" : complete === list.length ? "complete"
      : cancelled > 0 ? "cancelled" : complete > 0 ? "running" : "pending";
    const parts = [`${complete} of ${list.length} ${list.length === 1 ? "field" : "fields"} complete`];
    if (running > 0) parts.push(`${Math.floor(share * 100)}% done`);
    if (failed > 0) parts.push(`${failed} failed`);
    if (cancelled > 0) parts.push(`${cancelled} cancelled`);
    return [well, { well, state, share, fields: list.sort((a, b) => a.field - b.field), text: parts.join(", ") }];
  }));
}

export function shareOf(field: FieldStatus): number {
  if (field.state === "complete") return 1;
  return field.state === "running" && field.tiles_total > 0 ? Math.min(field.tiles_done / field.tiles_total, 1) : 0;
}

/** By row, then by column: A2 before A10. */
export function byPlace(a: string, b: string): number {
  const [p, q] = [placeOf(a), placeOf(b)];
  return p.row - q.row || p.column - q.column;
}
