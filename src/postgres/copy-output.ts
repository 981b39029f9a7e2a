/** Where the bytes of COPY go: buffers that are used again. Plain fields: they are read for every value. */
export class CopyOutput {
  bytes: Buffer
  view: DataView
  at = 0
  /** Room for the parts of a row whose length is known; there is at least that much at the start of each. */
  readonly rowBytes: number
  /** Length of the filled buffers before this one. */
  filledBytes = 0
  readonly filled: Buffer[] = []
  readonly #spare: Buffer[] = []
  readonly #chunkBytes: number

  constructor(chunkBytes: number, rowBytes: number) {
    this.#chunkBytes = Math.max(chunkBytes, rowBytes)
    this.rowBytes = rowBytes
    this.bytes = Buffer.allocUnsafeSlow(this.#chunkBytes)
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength)
  }

  /** The current buffer is given away as it is; the next has room for at least `room` bytes. */
  turn(room: number): void {
    if (this.at > 0) {
      this.filled.push(this.bytes.subarray(0, this.at))
      this.filledBytes += this.at
    }
    const spare = room <= this.#chunkBytes ? this.#spare.pop() : undefined
    this.bytes = spare ?? Buffer.allocUnsafeSlow(Math.max(room, this.#chunkBytes))
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength)
    this.at = 0
  }

  reset(): void {
    for (const chunk of this.filled) {
      if (chunk.buffer.byteLength !== this.#chunkBytes || this.#spare.length >= 64) continue
      this.#spare.push(Buffer.from(chunk.buffer))
    }
    this.filled.length = 0
    this.filledBytes = 0
    this.at = 0
  }
}
