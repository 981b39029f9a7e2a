import { openParquet } from '../lake/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { SourceFile } from './source.ts'
import { type Survey, sampleRecords } from './survey.ts'

export async function surveyParquet(source: SourceFile): Promise<Survey> {
  if (!source.isParquet)
    throw new TidemarkError('TM_IMPORT', {
      file: source.path,
      problem: source.compression === 'none' ? 'it is no Parquet file' : 'a packed Parquet file is not read',
      todo:
        source.compression === 'none'
          ? 'leave the format out, or name the right one'
          : 'unpack it first; Parquet packs its columns itself',
    })
  const file = await openParquet(source.path)
  try {
    const readable = file.columns.filter((column) => column.kind !== 'bytes')
    const records: unknown[][] = []
    for await (const batch of file.read(readable.map((column) => column.name))) {
      for (let i = 0; i < batch.rowCount && records.length < sampleRecords; i++)
        records.push(batch.columns.map((values) => values.get(i)))
      break
    }
    return {
      format: 'parquet',
      separator: null,
      header: null,
      hasPrefix: false,
      fields: readable.map(({ name }) => ({ name, isObject: false })),
      records,
      parquet: readable,
      remarks: [
        `format parquet: the file begins with its mark`,
        `${file.rowCount} rows`,
        ...file.columns
          .filter((c) => c.kind === 'bytes')
          .map((c) => `column "${c.name}" holds bytes, which are not read`),
      ],
    }
  } finally {
    file.close()
  }
}
