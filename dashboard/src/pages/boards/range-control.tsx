import type { ReactNode } from 'react'
import { presets, rangeText } from '../../chart/index.ts'
import { formatInstant } from '../../format/index.ts'
import { useZone } from '../../shell/index.ts'
import { Button, Select } from '../../ui/index.ts'
import type { Range } from './use-board-url.ts'

/** The one range of all panels. */
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
  const { zone } = useZone()
  const isPreset = range.to === undefined && presets.some(({ text }) => text === range.from)
  const said = rangeText({ from: range.from, to: range.to ?? null }, (iso) =>
    formatInstant(iso, zone, { precision: 'minute' }),
  )
  return (
    <>
      {!isOwn && (
        <Button
          kind="quiet"
          icon="back"
          onClick={() => onChange(null)}
          title="The range that the board opens with"
        >
          Reset range
        </Button>
      )}
      <Select
        label="Range"
        hideLabel
        value={isPreset ? range.from : ''}
        options={[
          ...(isPreset ? [] : [{ value: '', label: said }]),
          ...presets.map(({ text, label }) => ({ value: text, label: `Last ${label}` })),
        ]}
        onChange={(from) => from !== '' && onChange({ from })}
      />
    </>
  )
}
