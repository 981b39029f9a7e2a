import type { RecordSink } from './record-sink.ts'
import { decodeField, decodeLossy, type TextBlock } from './text-blocks.ts'

/** What formats of one record a line share: cutting, the limit on a line's length, and decoding. */
export class LineSplitter {
  readonly #maxRecordBytes: number
  readonly #sink: RecordSink
  readonly #onLine: (source: string, line: number, text: string, from: number, to: number) => void
  #line = 1
  #rest = ''
  #form: TextBlock['form'] = 'text'

  /** `onLine` gets each line that is not blank, decoded; `text.slice(from, to)` is the line as it stands. */
  constructor(
    maxRecordBytes: number,
    sink: RecordSink,
    onLine: (source: string, line: number, text: string, from: number, to: number) => void,
  ) {
    this.#maxRecordBytes = maxRecordBytes
    this.#sink = sink
    this.#onLine = onLine
  }

  /** Whether what is read now is bytes (see TextBlock). */
  get isBytes(): boolean {
    return this.#form === 'bytes'
  }

  push(block: TextBlock): void {
    let text = block.text
    let form = block.form
    if (this.#rest !== '' && this.#form !== form) {
      // one line over two blocks of different form: both as bytes
      if (this.#form === 'text') this.#rest = Buffer.from(this.#rest, 'utf8').toString('latin1')
      else text = Buffer.from(text, 'utf8').toString('latin1')
      form = 'bytes'
    }
    this.#form = form
    if (this.#rest !== '') text = this.#rest + text
    let position = 0
    for (;;) {
      const end = text.indexOf('\n', position)
      if (end === -1) break
      this.#read(text, position, end)
      position = end + 1
    }
    // of a line over the limit the beginning is enough to refuse it by
    this.#rest = text.slice(position, position + this.#maxRecordBytes + 1)
  }

  end(): void {
    if (this.#rest !== '') this.#read(this.#rest, 0, this.#rest.length)
    this.#rest = ''
  }

  #read(text: string, from: number, to: number): void {
    const line = this.#line++
    if (to - from > this.#maxRecordBytes) {
      const message = `the line is longer than maxRecordBytes (${this.#maxRecordBytes})`
      this.#sink.bad('too_long', { message, field: null, value: null }, line, text, from, to)
      return
    }
    let source = text.slice(from, to)
    if (this.#form === 'bytes') {
      const decoded = decodeField(source)
      if (decoded === null) {
        const message = 'the line holds bytes that are not UTF-8; convert the file (iconv -f LATIN1 -t UTF-8)'
        this.#sink.bad('encoding', { message, field: null, value: decodeLossy(source) }, line, text, from, to)
        return
      }
      source = decoded
    }
    source = source.trim()
    if (source !== '') this.#onLine(source, line, text, from, to)
  }
}
