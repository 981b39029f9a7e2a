import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CsvReader } from '../../src/ingest/csv-reader.ts'
import { toTextBlocks } from '../../src/ingest/text-blocks.ts'

interface Read {
  rows: string[][]
  lines: number[]
  raws: string[]
  bad: { reason: string; line: number; field: number | null; value: string | null; raw: string }[]
}

async function read(
  input: string | Buffer,
  options: { separator?: string; piece?: number; maxRecordBytes?: number; keepBlankLines?: boolean } = {},
): Promise<Read> {
  const bytes = typeof input === 'string' ? Buffer.from(input) : input
  const piece = options.piece ?? bytes.length
  async function* source(): AsyncGenerator<Buffer> {
    for (let i = 0; i < bytes.length; i += piece) yield bytes.subarray(i, i + piece)
  }
  const out: Read = { rows: [], lines: [], raws: [], bad: [] }
  const maxRecordBytes = options.maxRecordBytes ?? 1 << 20
  const reader = new CsvReader(
    { separator: options.separator ?? ',', maxRecordBytes, keepBlankLines: options.keepBlankLines ?? false },
    {
      record(fields, line, text, from, to) {
        out.rows.push([...(fields as string[])])
        out.lines.push(line)
        out.raws.push(text.slice(from, to))
      },
      bad(reason, { field, value }, line, text, from, to) {
        out.bad.push({ reason, line, field, value, raw: text.slice(from, to) })
      },
    },
  )
  for await (const block of toTextBlocks(source(), 'test.csv', maxRecordBytes)) reader.push(block)
  reader.end()
  return out
}

describe('CSV', () => {
  it.each([
    [
      'LF',
      'a,b\n1,2\n',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'CRLF',
      'a,b\r\n1,2\r\n',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'no line end at the end',
      'a,b\n1,2',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'CRLF and no line end at the end',
      'a,b\r\n1,2',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'a byte order mark',
      '\ufeffa,b\n1,2\n',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    ['empty fields', ',,\n', [['', '', '']]],
    ['quotes', '"a","b"\n', [['a', 'b']]],
    ['a doubled quote', '"a ""b"" c",d\n', [['a "b" c', 'd']]],
    ['a quoted field of quotes alone', '"""",x\n', [['"', 'x']]],
    ['a separator in quotes', '"7/1/2021, 12:00:00 AM",x\n', [['7/1/2021, 12:00:00 AM', 'x']]],
    ['a line end in quotes', '"a\nb",c\n', [['a\nb', 'c']]],
    ['a CRLF in quotes', '"a\r\nb",c\r\n', [['a\r\nb', 'c']]],
    ['an empty quoted field', '"",a\n', [['', 'a']]],
    ['a quoted field at the end', 'a,""\n', [['a', '']]],
    ['a quote inside an unquoted field', '5" disk,x\n', [['5" disk', 'x']]],
    ['blank lines', 'a\n\n\r\nb\n', [['a'], ['b']]],
    ['one column', 'a\nb\nc\n', [['a'], ['b'], ['c']]],
    [
      'characters beyond ASCII',
      'ä,€\n😀,\u4e2d\n',
      [
        ['ä', '€'],
        ['😀', '\u4e2d'],
      ],
    ],
    ['an empty last field', 'a,\n', [['a', '']]],
  ] as const)('reads %s', async (_name, text, rows) => {
    expect((await read(text)).rows).toEqual(rows)
  })

  it.each([';', '\t', '|', '\u0001'])('takes %j as separator', async (separator) => {
    expect((await read(`a${separator}b,c\n"x${separator}y"${separator}z\n`, { separator })).rows).toEqual([
      ['a', 'b,c'],
      [`x${separator}y`, 'z'],
    ])
  })

  it('keeps blank lines as rows of one empty field when asked to', async () => {
    expect((await read('a\n\nb\n', { keepBlankLines: true })).rows).toEqual([['a'], [''], ['b']])
  })

  it('counts lines, also those inside quotes and blank ones', async () => {
    const { lines } = await read('h\n"a\nb"\n\nc\n')
    expect(lines).toEqual([1, 2, 5])
  })

  it('gives the same rows however the file is cut into pieces', async () => {
    const field = fc.string({
      unit: fc.constantFrom('a', 'ß', '€', '😀', '"', ',', '\n', '\r', ' ', '1'),
      maxLength: 6,
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(field, { minLength: 2, maxLength: 4 }), { maxLength: 8 }),
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        async (rows, piece, crlf) => {
          const text = rows
            .map((row) => row.map((value) => `"${value.replaceAll('"', '""')}"`).join(','))
            .join(crlf ? '\r\n' : '\n')
          const read1 = await read(text, { piece })
          expect(read1.bad).toEqual([])
          expect(read1.rows).toEqual(rows)
          expect(read1.raws.join(crlf ? '\r\n' : '\n')).toBe(text)
        },
      ),
    )
  })

  it('refuses one line when text follows a closing quote, and reads on at the next', async () => {
    const { rows, bad } = await read('a,b\n"x"y,1\nc,d\n')
    expect(rows).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ])
    expect(bad).toEqual([{ reason: 'quote', line: 2, field: 0, value: null, raw: '"x"y,1' }])
  })

  it('refuses one line when a quote is never closed, and reads on at the next', async () => {
    const { rows, bad } = await read('a,b\n"x,1\nc,d\ne,f')
    expect(rows).toEqual([
      ['a', 'b'],
      ['c', 'd'],
      ['e', 'f'],
    ])
    expect(bad).toMatchObject([{ reason: 'quote', line: 2, raw: '"x,1' }])
  })

  it('an unclosed quote swallows at most maxRecordBytes', async () => {
    const rest = Array.from({ length: 500 }, (_, i) => `${i},x`).join('\n')
    const { rows, bad } = await read(`a,b\n"x,1\n${rest}\n`, { maxRecordBytes: 200, piece: 64 })
    expect(bad).toMatchObject([{ reason: 'quote', line: 2 }])
    expect(rows.length).toBe(501)
  })

  it.each([10, 1000, 100_000])(
    'refuses a row that is too long once and keeps its neighbours (pieces of %d)',
    async (piece) => {
      const long = 'x'.repeat(50_000)
      const { rows, bad, lines } = await read(`a,b\n${long},1\nc,d\n`, { maxRecordBytes: 1000, piece })
      expect(rows).toEqual([
        ['a', 'b'],
        ['c', 'd'],
      ])
      expect(lines).toEqual([1, 3])
      expect(bad.map(({ reason, line }) => [reason, line])).toEqual([['too_long', 2]])
    },
  )

  it.each([3, 7, 1000])(
    'refuses only the rows that hold bytes that are no UTF-8 (pieces of %d)',
    async (piece) => {
      const input = Buffer.concat([
        Buffer.from('gut,größe\n'),
        Buffer.from('schlecht,gr\xf6\xdfe\n', 'latin1'),
        Buffer.from('"ä\nö",ü\n'),
      ])
      const { rows, bad } = await read(input, { piece })
      expect(rows).toEqual([
        ['gut', 'größe'],
        ['ä\nö', 'ü'],
      ])
      expect(bad).toMatchObject([{ reason: 'encoding', line: 2, field: 1, value: 'gr\ufffd\ufffde' }])
    },
  )

  it('says what to do with UTF-16', async () => {
    await expect(read(Buffer.from('\ufeffa,b\n', 'utf16le'))).rejects.toThrow(/UTF-16.*iconv/)
  })

  it('reads a file of one column in linear time', async () => {
    const before = process.cpuUsage()
    const { rows } = await read(`${'abcdefgh\n'.repeat(400_000)}`)
    expect(rows.length).toBe(400_000)
    // of the processor, in microseconds; the quadratic version took minutes
    expect(process.cpuUsage(before).user).toBeLessThan(10_000_000)
  })
})
