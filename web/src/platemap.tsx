import { useRef, useState } from "preact/hooks";
import { formatOf, placeOf, rowName } from "./wells";

export interface Cell { well: string; text: string; sign: string; className?: string; colour?: string; share?: number }

/** A plate as a grid of rows and columns. Arrow keys go from well to well, Enter chooses. */
export function PlateMap({ label, cells, chosen, onChoose }: {
  label: string; cells: ReadonlyMap<string, Cell>; chosen: string | null; onChoose: (well: string) => void;
}) {
  const { rows, columns } = formatOf(cells.keys());
  const places = new Map([...cells.values()].map(cell => {
    const { row, column } = placeOf(cell.well);
    return [row * columns + column, cell] as const;
  }));
  const [focus, setFocus] = useState<string | null>(null);
  const buttons = useRef(new Map<string, HTMLButtonElement>());
  const first = [...places.keys()].sort((a, b) => a - b)[0];
  const stop = focus && cells.has(focus) ? focus : chosen && cells.has(chosen) ? chosen : places.get(first)?.well;

  function onKeyDown(event: KeyboardEvent, from: string) {
    const steps: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = steps[event.key];
    let { row, column } = placeOf(from);
    let target: Cell | undefined;
    if (event.key === "Home" || event.key === "End") {
      const line = [...places].filter(([place]) => Math.floor(place / columns) === row).sort(([a], [b]) => a - b);
      target = line[event.key === "Home" ? 0 : line.length - 1][1];
    } else if (step) {
      // The next well that is there, in the direction; wells that are not are passed over.
      do {
        row += step[0];
        column += step[1];
        target = places.get(row * columns + column);
      } while (!target && row >= 0 && row < rows && column >= 0 && column < columns);
      if (column < 0 || column >= columns) target = undefined;
    } else return;
    event.preventDefault();
    if (!target) return;
    setFocus(target.well);
    buttons.current.get(target.well)?.focus();
  }

  return (
    <table class="plate-map" role="grid" aria-label={label} style={{ "--columns": columns }}>
      <thead>
        <tr>
          <td />
          {Array.from({ length: columns }, (_, column) => <th scope="col" key={column}>{column + 1}</th>)}
        </tr>
      </thead>
      <tbody>
        {Array.from({ length: rows }, (_, row) => (
          <tr key={row}>
            <th scope="row">{rowName(row)}</th>
            {Array.from({ length: columns }, (_, column) => {
              const cell = places.get(row * columns + column);
              if (!cell) return <td key={column} class="empty" />;
              return (
                <td key={column} aria-selected={cell.well === chosen}>
                  <button
                    type="button" class={`well ${cell.className ?? ""}`} tabIndex={cell.well === stop ? 0 : -1}
                    aria-label={`${cell.well}: ${cell.text}`} title={`${cell.well}: ${cell.text}`}
                    style={{ background: cell.colour, "--share": cell.share === undefined ? undefined : `${cell.share * 100}%` }}
                    ref={button => { if (button) buttons.current.set(cell.well, button); else buttons.current.delete(cell.well); }}
                    onClick={() => { setFocus(cell.well); onChoose(cell.well); }}
                    onKeyDown={event => onKeyDown(event, cell.well)}
                  ><span aria-hidden="true">{cell.sign}</span></button>
                </td>
              );
            })}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
