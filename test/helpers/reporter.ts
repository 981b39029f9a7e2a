import type { Reporter, TestModule } from 'vitest/node'

/** Prints why tests were skipped and, as the very last line, `N passed, N failed, N skipped`. */
export class SummaryReporter implements Reporter {
  readonly #skippedLanes: readonly string[]

  constructor(skippedLanes: readonly string[]) {
    this.#skippedLanes = skippedLanes
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const counts = { passed: 0, failed: errors.length, skipped: 0 }
    const skips: string[] = []
    for (const module of modules) {
      // A file that does not load has no tests that could fail.
      if (module.errors().length > 0) counts.failed += 1
      for (const suite of module.children.allSuites()) if (suite.errors().length > 0) counts.failed += 1
      for (const test of module.children.allTests()) {
        const result = test.result()
        if (result.state === 'passed' || result.state === 'failed') counts[result.state] += 1
        else {
          counts.skipped += 1
          const reason = (result.state === 'skipped' && result.note) || 'no reason given'
          skips.push(`${module.project.name} ${module.relativeModuleId} > ${test.fullName}: ${reason}`)
        }
      }
    }
    const lines = [...this.#skippedLanes, ...skips.map((skip) => `skipped ${skip}`)]
    // After every other reporter, which write when this returns.
    process.once('exit', () => {
      for (const line of lines) process.stdout.write(`${line}\n`)
      process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`)
    })
  }
}
