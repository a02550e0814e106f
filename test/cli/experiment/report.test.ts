/** Reports of made-up results: every sentence and cell, and what changes when the numbers do. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SaxesParser } from 'saxes'
import t from 'tap'
import { charts } from '../../../src/cli/experiment/charts.ts'
import { findings } from '../../../src/cli/experiment/findings.ts'
import { report } from '../../../src/cli/experiment/report.ts'
import type { Results } from '../../../src/cli/experiment/results.ts'
import { run } from '../../../src/cli/experiment.ts'
import { madeUpResults } from '../../fixtures/experiment/make-results.ts'
import { fixturePath } from '../../fixtures/golden.ts'

const sentence = (results: Results, start: string): string | undefined =>
  findings(results, 'main').find((one) => one.startsWith(start))

/** The one that is about this arm. */
const about = (results: Results, topic: string, label: string): string =>
  findings(results, 'main').find((one) => one.startsWith(`**${topic}.**`) && one.includes(label)) ?? ''

t.test('the report of made-up results, to the letter', async (t) => {
  const results = madeUpResults()
  const figures = { main: [{ file: 'main-quality.svg', alt: 'a chart' }], wide: [] }
  // When a change is meant: write the text below into the file, and read what changed.
  t.equal(report(results, figures, 'results'), await readFile(fixturePath('experiment/report.md'), 'utf8'))
})

t.test('conclusions follow the numbers', async (t) => {
  const results = madeUpResults()
  t.match(
    about(results, 'Flatness', 'DyLoRA:'),
    /55\.50 \(rank 1\) to 56\.50 \(rank 2\), a spread of 1\.00, no wider than .*\(2\.00\)/,
  )
  t.match(about(results, 'Flatness', 'Recipe'), /59\.00 \(rank 1\) to 62\.50 \(rank 2\), a spread of 3\.50, wider than/)
  t.match(about(results, 'Flatness', 'cut'), /a spread of 50\.00, wider than/)
  t.match(
    about(results, 'Price', 'Recipe'),
    /1\.04 times the FLOPs and 1\.04 times the time .* 1 and 2 together take 1\.83 times/,
  )
  t.match(
    about(results, 'Top rank', 'Recipe'),
    /At rank 2, Recipe is \+2\.00 BLEU .*\+1\.00 to \+3\.00, 2 seeds\): better/,
  )
  t.match(about(results, 'Top rank', 'DyLoRA is'), /-4\.00 BLEU .*: worse/)
  t.match(
    about(results, 'Every rank', 'Recipe'),
    /at 2 of 2 ranks, and at most its validation loss at 2.* better at ranks: 2; worse at: none; not told apart at: 1\./,
  )
  t.match(
    sentence(results, '**Over all ranks**'),
    /Recipe 60\.75; LoRA trained for the rank 59\.50; DyLoRA 56\.00; DyLoRA, frozen 53\.50/,
  )
  t.match(sentence(results, '**Ablation.**'), /\+2\.50 AURAC against the frozen update/)
  t.match(sentence(results, '**Full fine-tuning**'), /61\.00 BLEU, \+0\.50 from LoRA at rank 2/)
})

t.test('the area under a curve is taken at the ranks that LoRA was trained for', async (t) => {
  const results = madeUpResults()
  const runs = results.runs.map((run) => {
    const [first] = run.measured
    if (!first || !run.id.startsWith('recipe')) return run
    return { ...run, measured: [...run.measured, { ...first, rank: 3, metrics: { bleu: 0 } }] }
  })
  t.match(sentence({ ...results, runs }, '**Over all ranks**'), /Recipe 60\.75;/)
})

t.test('other numbers, other conclusions', async (t) => {
  const results = madeUpResults()
  const comparisons = results.comparisons.map((one) => ({ ...one, difference: -5, ci95: [-6, -4] as [number, number] }))
  t.match(about({ ...results, comparisons }, 'Top rank', 'Recipe'), /-5\.00 BLEU .*: worse/)
  t.match(
    about({ ...results, comparisons }, 'Every rank', 'Recipe'),
    /at 0 of 2 ranks.* better at ranks: none; worse at: 1 and 2/,
  )
})

t.test('what was not run is not told', async (t) => {
  const results = madeUpResults()
  const few = { ...results, comparisons: [], runs: results.runs.filter(({ id }) => id.startsWith('dylora-seed')) }
  t.same(findings(few, 'main'), [
    '**Flatness.** DyLoRA: BLEU over the ranks goes from 55.50 (rank 1) to 56.50 (rank 2), a spread of 1.00.',
  ])
  t.match(report(few, { main: [], wide: [] }, 'r'), /No training has its LoRA to be compared with yet/)
})

t.test('charts are the same bytes each time, whole XML, with a title and both kinds of ink', async (t) => {
  const results = madeUpResults()
  const [once, again] = [await charts(results, 'main'), await charts(results, 'main')]
  t.same(once, again)
  t.same(
    once.map(({ file }) => file),
    ['quality', 'loss', 'cuts', 'ablations', 'cost'].map((name) => `main-${name}.svg`),
  )
  for (const { file, svg, alt } of once) {
    const seen: string[] = []
    const parser = new SaxesParser()
    parser.on('opentag', ({ name }) => seen.push(name))
    parser.write(svg).close()
    t.ok(seen.includes('title') && seen.includes('path'), file)
    t.match(svg, /@media \(prefers-color-scheme:dark\)/)
    t.notMatch(`${svg} ${alt}`, /NaN|undefined|Infinity/)
  }
  t.equal(
    once[0]?.alt,
    'BLEU on the test set, by rank: LoRA trained for the rank from 58.5 at rank 1 to 60.5 at rank 2; ' +
      'DyLoRA from 55.5 at rank 1 to 56.5 at rank 2; Recipe from 59.0 at rank 1 to 62.5 at rank 2; Full fine-tuning 61.0',
  )
})

t.test('a chart has a line, a band and points for each arm', async (t) => {
  const [quality] = await charts(madeUpResults(), 'main')
  for (const colour of ['#0a78c2', '#d1570a', '#00875f', '#b5508c']) {
    t.match(quality?.svg, new RegExp(`fill="${colour}" fill-opacity="0\\.15"`), 'band')
    t.match(quality?.svg, new RegExp(`stroke="${colour}" stroke-width="2"`), 'line')
  }
  t.match(quality?.svg, /stroke-dasharray="5,4"/, 'a model without ranks is dashed')
})

t.test('a report is made again from the results alone', async (t) => {
  const directory = t.testdir({ 'results.json': JSON.stringify(madeUpResults()) })
  t.equal(await run(['--out', directory, '--report-only', '--report', join(directory, 'docs', 'results.md')]), 0)
  const text = await readFile(join(directory, 'docs', 'results.md'), 'utf8')
  const images = [...text.matchAll(/!\[[^\]]+\]\((results\/[^)]+)\)/g)].map(([, path]) => path as string)
  t.equal(images.length, 5 + 3)
  for (const path of images) t.match(await readFile(join(directory, 'docs', path), 'utf8'), /^<svg /)
})

t.test('results that are broken are refused with what is wrong', async (t) => {
  const directory = t.testdir({ 'results.json': JSON.stringify({ ...madeUpResults(), parallel: 'two' }) })
  await t.rejects(run(['--out', directory, '--report-only']), {
    code: 'validation',
    message: /results\.json.*parallel/,
  })
  await t.rejects(run(['--out', join(directory, 'none'), '--report-only']), {
    code: 'validation',
    message: /there is no results\.json/,
  })
})
