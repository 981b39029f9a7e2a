import { type ReactNode, useState } from 'react'
import { presets, type RangeText, rangeProblem, rangeText, roughMs, toInstant } from '../../chart/index.ts'
import { formatInstant } from '../../format/index.ts'
import { useZone } from '../../shell/index.ts'
import { Button, IconButton, TextField } from '../../ui/index.ts'
import styles from './explore.module.css'
import { Pop } from './pop.tsx'

export interface RangePickerProps {
  readonly range: RangeText
  onRange(range: RangeText): void
  /** What it is now, for steps to the side; null: not known yet. */
  readonly isKnown: boolean
  onStep(share: number): void
  onZoomOut(): void
}

/** Relative or absolute, all of it, and steps to the side. */
export function RangePicker({ range, onRange, isKnown, onStep, onZoomOut }: RangePickerProps): ReactNode {
  const { zone } = useZone()
  const show = (iso: string): string => (iso.length <= 10 && zone === 'UTC' ? iso : formatInstant(iso, zone))
  const text = rangeText(range, show)
  return (
    <fieldset className={styles['range']} aria-label="Time range">
      <IconButton label="Earlier (comma)" icon="left" aria-disabled={!isKnown} onClick={() => onStep(-0.5)} />
      <Pop label={text} title="Time range" icon="clock" name={`Time range: ${text}`}>
        {(close) => (
          <RangeForm
            range={range}
            onRange={(next) => {
              close()
              onRange(next)
            }}
          />
        )}
      </Pop>
      <IconButton
        label="Later (full stop)"
        icon="right"
        aria-disabled={!isKnown}
        onClick={() => onStep(0.5)}
      />
      <Button aria-disabled={!isKnown} onClick={onZoomOut} title="Twice as long (z)">
        Zoom out
      </Button>
    </fieldset>
  )
}

/** An instant as the clock of the zone shows it; what is relative as it is. */
function typedText(text: string | null, zone: string): string {
  if (text === null) return ''
  const ms = /^\d{4}-/.test(text) ? roughMs(text, 0) : null
  return ms === null
    ? text
    : formatInstant(ms, zone, {
        precision: ms % 60_000 === 0 ? 'minute' : ms % 1000 === 0 ? 'second' : 'milli',
      })
}

function RangeForm({
  range,
  onRange,
}: {
  readonly range: RangeText
  onRange(range: RangeText): void
}): ReactNode {
  const { zone } = useZone()
  const [from, setFrom] = useState(() => typedText(range.from, zone))
  const [to, setTo] = useState(() => typedText(range.to, zone))
  const read = (text: string): string | null => (text.trim() === '' ? null : toInstant(text.trim(), zone))
  const typed: RangeText = { from: read(from), to: read(to) }
  const problem = rangeProblem(typed, Date.now())
  return (
    <div className={styles['rangeForm']}>
      <fieldset className={styles['presets']} aria-label="Up to now">
        {presets.map(({ text, label }) => (
          <Button
            key={text}
            small
            kind={range.from === text && range.to === null ? 'primary' : 'quiet'}
            onClick={() => onRange({ from: text, to: null })}
          >
            Last {label}
          </Button>
        ))}
        <Button small kind="quiet" onClick={() => onRange({ from: null, to: null })}>
          All of it
        </Button>
      </fieldset>
      <form
        className={styles['form']}
        onSubmit={(event) => {
          event.preventDefault()
          if (problem === null) onRange(typed)
        }}
      >
        <TextField
          label="From"
          value={from}
          onChange={setFrom}
          placeholder="the beginning"
          hint={`2026-01-31 12:00 in ${zone}, or -7 days`}
          data-first
        />
        <TextField label="To" value={to} onChange={setTo} placeholder="now" error={problem ?? undefined} />
        <Button type="submit" kind="primary" aria-disabled={problem !== null}>
          Show
        </Button>
      </form>
    </div>
  )
}
