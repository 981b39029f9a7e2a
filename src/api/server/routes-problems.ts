import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { type ErrorCode, errorRegistry } from '../../util/errors.ts'
import { isOverHttp, ProblemKind, problemType } from '../contract/index.ts'

/** The registry of errors, as far as answers have them. */
export function installProblemRoute(app: FastifyInstance): void {
  const kinds = (Object.keys(errorRegistry) as ErrorCode[])
    .filter(isOverHttp)
    .sort()
    .map((code) => {
      const { status, retryable, when, todo } = errorRegistry[code]
      return { type: problemType(code), code, status, retryable, title: when, todo }
    })
  app.get(
    '/api/v1/problems',
    {
      schema: {
        summary: 'Every error that an answer may be: when, and what to do about it',
        tags: ['operations'],
        response: { 200: Type.Array(ProblemKind) },
      },
      config: { access: 'public' },
      serializerCompiler: () => (data) => JSON.stringify(data),
    },
    async () => kinds,
  )
}
