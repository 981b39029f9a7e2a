import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { type ReportAnswer, type ReportFormat, reportFormats, toCsv, toHtml } from '../../reports/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { Problem, Report, ReportBody, ReportRun } from '../contract/index.ts'
import { answerCached } from './cache-answer.ts'
import { requestSignal } from './request-signal.ts'

const types: Readonly<Record<ReportFormat, string>> = {
  json: 'application/json; charset=utf-8',
  csv: 'text/csv; charset=utf-8; header=present',
  html: 'text/html; charset=utf-8',
}

/** A page of a report has its style in it, and nothing that could run or be fetched. */
const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

interface ByName {
  Params: { name: string }
}

/** Saved queries, and what they gave: of the caller's tenant. */
export function installReportRoutes(app: FastifyInstance): void {
  const problems = { '4xx': Problem, '5xx': Problem }
  const shared = {
    config: { access: 'query' },
    serializerCompiler: () => (data: unknown) => JSON.stringify(data),
  } as const
  const tags = ['reports']
  const params = Type.Object({ name: Type.String({ description: 'a-z, 0-9, - and _' }) })

  app.get(
    '/api/v1/reports',
    {
      ...shared,
      schema: {
        summary: 'Every report',
        tags,
        response: { 200: Type.Object({ reports: Type.Array(Report) }), ...problems },
      },
    },
    async (request) => ({ reports: await request.tm.reports.list() }),
  )
  app.get<ByName>(
    '/api/v1/reports/:name',
    { ...shared, schema: { summary: 'One report', tags, params, response: { 200: Report, ...problems } } },
    async (request) => request.tm.reports.find(request.params.name),
  )
  app.put<ByName>(
    '/api/v1/reports/:name',
    {
      ...shared,
      schema: {
        summary: 'Saves a report; one of that name is changed, and keeps what it has given',
        description: 'docs/guide/reports.md explains every part.',
        tags,
        params,
        body: ReportBody,
        response: { 200: Report, ...problems },
      },
    },
    async (request) => request.tm.reports.save(request.params.name, request.body, request.principal.id),
  )
  app.delete<ByName>(
    '/api/v1/reports/:name',
    {
      ...shared,
      schema: {
        summary: 'Removes a report with everything it has given',
        tags,
        params,
        response: { 204: Type.Null(), ...problems },
      },
    },
    async (request, reply) => {
      await request.tm.reports.remove(request.params.name)
      return reply.code(204).send()
    },
  )
  app.post<ByName>(
    '/api/v1/reports/:name/run',
    {
      ...shared,
      schema: {
        summary: 'Asks it now, and keeps the answer',
        tags,
        params,
        response: { 201: ReportRun, ...problems },
      },
    },
    async (request, reply) => {
      const run = await request.tm.reports.run(request.params.name, { signal: requestSignal(reply) })
      return reply.code(201).send(run)
    },
  )
  app.get<ByName>(
    '/api/v1/reports/:name/runs',
    {
      ...shared,
      schema: {
        summary: 'When it was asked, the newest first',
        tags,
        params,
        response: { 200: Type.Object({ runs: Type.Array(ReportRun) }), ...problems },
      },
    },
    async (request) => ({ runs: await request.tm.reports.runs(request.params.name) }),
  )
  app.get<ByName & { Querystring: { format?: string; run?: string } }>(
    '/api/v1/reports/:name/answer',
    {
      config: { access: 'query' },
      serializerCompiler: () => (data) => (typeof data === 'string' ? data : JSON.stringify(data)),
      schema: {
        summary: 'What it gave last, or in a run: as JSON, CSV or one page with charts',
        tags,
        params,
        produces: ['application/json', 'text/csv', 'text/html'],
        querystring: Type.Object({
          format: Type.Optional(Type.Union(reportFormats.map((format) => Type.Literal(format)))),
          run: Type.Optional(Type.String({ description: 'Id of a run; default: the newest.' })),
        }),
        response: {
          200: Type.Unknown({
            description: 'As `format` says; JSON: columns, rows and plan, as for a query.',
          }),
          ...problems,
        },
      },
    },
    async (request, reply) => sendAnswer(request, reply, formatOf(request.query.format)),
  )
}

/** A run gives the same for ever, so what is drawn of it is kept (L3). */
async function sendAnswer(
  request: FastifyRequest<ByName & { Querystring: { run?: string } }>,
  reply: FastifyReply,
  format: ReportFormat,
): Promise<FastifyReply> {
  const { reports } = request.tm
  const { name } = request.params
  const { report, run } = await reports.latest(name, request.query.run ?? null)
  const question = { report: name, title: report.title, run: run.id, format }
  const { body } = await answerCached(
    request,
    reply,
    { layer: 'reports', question, datasets: [] },
    async () => ({ body: draw(format, await reports.answer(name, run)) }),
  )
  if (format === 'html') reply.header('content-security-policy', pagePolicy)
  else
    reply.header('content-disposition', `attachment; filename="${name}-${run.asOf.slice(0, 10)}.${format}"`)
  return reply.type(types[format]).send(body)

  function draw(as: ReportFormat, answer: ReportAnswer): string {
    if (as === 'csv') return toCsv(answer)
    return as === 'html' ? toHtml(report, run, answer) : JSON.stringify(answer)
  }
}

function formatOf(given: string | undefined): ReportFormat {
  const format = reportFormats.find((one) => one === (given ?? 'json'))
  if (format !== undefined) return format
  throw new TidemarkError('TM_QUERY', {
    path: 'format',
    problem: `"${given}" is not one of ${reportFormats.join(', ')}`,
  })
}
