import { afterAll, afterEach } from 'vitest'
import { endFile } from './after-file.ts'

/** Runs before each test file, in the process of many of them. */
let hasFailed = false

afterEach(({ task }) => {
  if (task.result?.state === 'fail') hasFailed = true
})

// the hooks of the file itself come before this one
afterAll(() => endFile(hasFailed))
