import type { ReactNode } from 'react'
import { moved, type RangeText, roughMs, widened } from '../../chart/index.ts'
import { useCommands } from '../../shell/index.ts'
import { Button } from '../../ui/index.ts'
import { RangePicker } from '../explore/range-picker.tsx'
import type { Range } from './use-board-url.ts'

/** A board has a beginning: its panels are asked again and again. */
const allOfIt = '-10 years'

/** The one range of all panels, chosen as in Explore. */
export function RangeControl({
  range,
  isOwn,
  onChange,
}: {
  readonly range: Range
  /** It is what the board opens with. */
  readonly isOwn: boolean
  readonly onChange: (range: Range | null) => void
}): ReactNode {
  const ends = (): { readonly from: number; readonly to: number } | null => {
    const now = Date.now()
    const from = roughMs(range.from, now)
    const to = range.to === undefined ? now : roughMs(range.to, now)
    return from === null || to === null || from >= to ? null : { from, to }
  }
  const choose = ({ from, to }: RangeText): void =>
    onChange({ from: from ?? allOfIt, ...(to === null ? {} : { to }) })
  const step = (share: number): void => {
    const known = ends()
    if (known) choose(moved(known, share))
  }
  const zoomOut = (): void => {
    const known = ends()
    if (known) choose(widened(known, 2))
  }
  useCommands([
    { id: 'range.earlier', title: 'Earlier', keys: ',', run: () => step(-0.5) },
    { id: 'range.later', title: 'Later', keys: '.', run: () => step(0.5) },
    { id: 'range.out', title: 'Zoom out: twice as long', keys: 'z', run: zoomOut },
    ...(isOwn
      ? []
      : [
          {
            id: 'range.own',
            title: 'The range that the board opens with',
            keys: '0',
            run: () => onChange(null),
          },
        ]),
  ])
  return (
    <>
      {!isOwn && (
        <Button
          kind="quiet"
          icon="back"
          onClick={() => onChange(null)}
          title="The range that the board opens with: 0"
        >
          Reset
        </Button>
      )}
      <RangePicker
        range={{ from: range.from, to: range.to ?? null }}
        isKnown={ends() !== null}
        onRange={choose}
        onStep={step}
        onZoomOut={zoomOut}
      />
    </>
  )
}
