import { formatDuration } from './draw.ts'

export interface ProgressState {
  /** 0..1, or null when the whole is not known. */
  readonly share: number | null
  readonly text: string
  readonly etaMs: number | null
}

export interface ProgressBar {
  update(state: ProgressState): void
  /** Clears the bar; what is printed next starts on a clean line. */
  end(): void
}

/** A line on stderr that is rewritten, at most ten times a second; on something that is no terminal a line every ten seconds. */
export function createProgressBar(stream: NodeJS.WriteStream, label: string): ProgressBar {
  const isTerminal = stream.isTTY === true
  const everyMs = isTerminal ? 100 : 10_000
  let drawnAt = performance.now() - (isTerminal ? everyMs : 0)
  let drawn = false
  return {
    update(state) {
      const now = performance.now()
      if (now - drawnAt < everyMs) return
      drawnAt = now
      const share =
        state.share === null ? '' : ` ${gauge(state.share)} ${(state.share * 100).toFixed(0).padStart(3)} %`
      // less than the line is redrawn in is nothing
      const eta = state.etaMs === null || state.etaMs < 100 ? '' : `, ${formatDuration(state.etaMs)} left`
      const line = `${label}${share} ${state.text}${eta}`
      if (isTerminal) stream.write(`\r\x1b[2K${line.slice(0, (stream.columns || 100) - 1)}`)
      else stream.write(`${line}\n`)
      drawn = true
    },
    end() {
      if (isTerminal && drawn) stream.write('\r\x1b[2K')
    },
  }
}

function gauge(share: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * 20)
  return `[${'█'.repeat(filled)}${'░'.repeat(20 - filled)}]`
}
