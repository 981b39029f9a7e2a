import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'
import { afterFile } from './after-file.ts'

const executablePath = '/usr/bin/chromium'

/** Null when there is one. */
export const chromiumAbsent: string | null = existsSync(executablePath)
  ? null
  : `${executablePath} is absent (apt-get install --no-install-recommends chromium)`

/** Debian's Chromium with a profile of its own; closed after the file's tests. */
export async function launchChromium(): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  afterFile(() => browser.close())
  return browser
}
