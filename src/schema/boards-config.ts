import type { ProblemList } from './problems.ts'

const mostPatterns = 100

/** Files with boards. What is in them is read when the server starts: a configuration is only data. */
export function readBoardPatterns(problems: ProblemList, input: unknown): readonly string[] {
  const given = input ?? []
  if (!Array.isArray(given) || given.length > mostPatterns) {
    problems.add('.boards', `must be a list of at most ${mostPatterns} patterns such as 'boards/*.json'`)
    return []
  }
  given.forEach((pattern, i) => {
    if (typeof pattern !== 'string' || !pattern.endsWith('.json') || pattern.includes('\0'))
      problems.add(`.boards[${i}]`, `${JSON.stringify(pattern)} is not a pattern such as 'boards/*.json'`)
    else if (/\*.*[/\\]/.test(pattern))
      problems.add(`.boards[${i}]`, `"${pattern}" has a * in the name of a folder; name each folder`)
  })
  return Object.freeze([...(given as string[])])
}
