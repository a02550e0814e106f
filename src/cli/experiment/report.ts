/** The report of an experiment: Markdown from its results alone. */
import { findings, paperCost, verdict } from './findings.ts'
import { counted, markdownTable, plusMinus, type Row, rankList, signed } from './markdown.ts'
import { paperE2e, paperWide } from './paper.ts'
import type { PlanName } from './plan.ts'
import type { Measured, Results } from './results.ts'
import { type ArmSummary, armsOf, auracOf, costOf, curveOf, type Quantity, topLoraCost } from './summary.ts'

/** A drawing beside the report. */
export interface Figure {
  readonly file: string
  /** What it shows, in words. */
  readonly alt: string
}

/** `figures` by plan; the files lie in `directory`, relative to the report. */
export function report(
  results: Results,
  figures: Readonly<Record<PlanName, readonly Figure[]>>,
  directory: string,
): string {
  const plans = (['main', 'wide'] as const).filter((plan) => results.runs.some((run) => run.plan === plan))
  const sections = [
    ...preface(results),
    ...plans.flatMap((plan) =>
      planSections(
        results,
        plan,
        figures[plan].map((figure) => image(figure, directory)),
      ),
    ),
    ...paperSection(results),
    ...settingsSection(results),
  ]
  return `${sections.join('\n\n')}\n`
}

const image = ({ file, alt }: Figure, directory: string): string => `![${alt}](${directory}/${file})`

function preface(results: Results): string[] {
  const { base, data, machine, runs, missing, parallel } = results
  const seeds = [...new Set(runs.map(({ seed }) => seed))].sort((a, b) => a - b)
  const hours = runs.reduce((sum, { cost }) => sum + cost.seconds, 0) / 3600
  return [
    '# Results',
    'Every number, chart and sentence on this page is computed from `results.json` by `npm run dylora -- experiment`; none is written by hand.',
    [
      `- Base: ${base.name}, ${base.parameters.toLocaleString('en')} parameters (${base.layers} layers of ${base.hiddenSize}), ${base.digest.slice(0, 19)}`,
      `- Training data: ${data.train.file}, ${data.train.count.toLocaleString('en')} examples, ${data.train.digest.slice(0, 19)}`,
      `- Validation loss: ${data.validation.file}, ${data.validation.count.toLocaleString('en')} examples, nats per token of the completion`,
      `- Test metrics: ${data.test.file}, ${data.test.count.toLocaleString('en')} inputs, greedy, up to ${results.maxNewTokens} tokens`,
      `- Seeds: ${seeds.join(', ')}; ${counted(runs.length, 'training')}, ${hours.toFixed(1)} hours of training steps, ${parallel} at once with one thread each`,
      `- Machine: ${Object.entries(machine)
        .map(([name, value]) => `${name} ${value}`)
        .join(', ')}`,
      ...results.command.split('\n').map((command) => `- Command: \`npm run dylora -- experiment ${command}\``),
      `- Last result: ${results.updated}`,
      '- Energy is told in floating-point operations of the matrix products (padding included); no power meter was read, so there are no kilowatt-hours.',
    ].join('\n'),
    ...(missing.length === 0
      ? []
      : [
          `**Not complete**: of the plan, ${counted(missing.length, 'training')} ${missing.length === 1 ? 'is' : 'are'} missing: ${missing.join(', ')}.`,
        ]),
  ]
}

const headings: Readonly<Record<PlanName, string>> = { main: 'Quality at every rank', wide: 'A wide range of ranks' }

function planSections(results: Results, plan: PlanName, images: readonly string[]): string[] {
  const metrics = Object.keys(results.runs[0]?.measured[0]?.metrics ?? {})
  const [primary = 'bleu', ...others] = metrics
  return [
    `## ${headings[plan]}`,
    ...findings(results, plan)
      .map((sentence) => `- ${sentence}`)
      .join('\n')
      .split('\n\n'),
    ...images,
    `### ${title(primary)} on the test set`,
    qualityTable(results, plan, metricOf(primary), digitsOf(primary)),
    'Mean ± deviation over the seeds, by rank; AURAC is the area under the curve over log2(rank), at the ranks that LoRA was trained for.',
    '### Validation loss',
    qualityTable(results, plan, ({ loss }) => loss, 4),
    '### Against the LoRA trained for the rank',
    comparisonTable(results, plan),
    'Difference in BLEU, the mean over the seeds, with the 95 % interval of a paired bootstrap over the test inputs (1,000 resamples).',
    '### What the trainings cost',
    costTable(results, plan),
    paperCost(),
    ...(plan === 'wide' ? [paperWide] : []),
    ...others.flatMap((metric) => [
      `### ${title(metric)} on the test set`,
      qualityTable(results, plan, metricOf(metric), digitsOf(metric)),
    ]),
  ]
}

const metricOf =
  (name: string): Quantity =>
  ({ metrics }: Measured) =>
    metrics[name] ?? Number.NaN

const titles: Readonly<Record<string, string>> = {
  bleu: 'BLEU',
  nist: 'NIST',
  rouge_l: 'ROUGE-L',
  cider: 'CIDEr',
  meteor: 'METEOR',
}
const title = (metric: string): string => titles[metric] ?? metric
const digitsOf = (metric: string): number => (metric === 'bleu' ? 2 : 4)

function qualityTable(results: Results, plan: PlanName, quantity: Quantity, digits: number): string {
  const arms = armsOf(results, plan)
  const ranks = [...new Set(arms.flatMap((arm) => arm.ranks))].filter((rank) => rank > 0).sort((a, b) => a - b)
  const rows = arms.map(({ arm, label }): Row => {
    const curve = curveOf(results, plan, arm, quantity)
    const cells = ranks.map((rank) => curve.find((point) => point.rank === rank))
    const area = auracOf(results, plan, arm, quantity)
    const [whole] = curve.filter(({ rank }) => rank === 0)
    const last = whole ? plusMinus(whole.mean, whole.deviation, digits) : (area?.toFixed(digits) ?? '')
    return [label, ...cells.map((cell) => (cell ? plusMinus(cell.mean, cell.deviation, digits) : '')), last]
  })
  return markdownTable(['arm', ...ranks.map(String), 'AURAC, or all weights'], rows)
}

function comparisonTable(results: Results, plan: PlanName): string {
  const labels = new Map(armsOf(results, plan).map(({ arm, label }) => [arm, label]))
  const rows = results.comparisons
    .filter((comparison) => comparison.plan === plan)
    .map((comparison): Row => {
      const { arm, rank, difference, ci95, pValue, seeds } = comparison
      const interval = `${signed(ci95[0], 2)} to ${signed(ci95[1], 2)}`
      return [
        labels.get(arm) ?? arm,
        String(rank),
        signed(difference, 2),
        interval,
        pValue.toFixed(3),
        String(seeds),
        verdict(comparison),
      ]
    })
  if (rows.length === 0) return 'No training has its LoRA to be compared with yet.'
  return markdownTable(['arm', 'rank', 'difference', '95 % interval', 'p (not better)', 'seeds', 'so it is'], rows)
}

function costTable(results: Results, plan: PlanName): string {
  const one = topLoraCost(results, plan)
  const rows = armsOf(results, plan).flatMap((arm): Row[] => {
    const found = costOf(results, plan, arm)
    if (found === null) return []
    const { trainings, cost } = found
    const ratio = (name: 'seconds' | 'flops') => (one === null ? '' : (cost[name] / one[name]).toFixed(2))
    return [
      [
        arm.label,
        ranksOf(arm),
        String(trainings),
        Math.round(cost.steps).toLocaleString('en'),
        Math.round(cost.tokens).toLocaleString('en'),
        cost.seconds.toFixed(0),
        cost.processorSeconds.toFixed(0),
        (cost.flops / 1e12).toFixed(2),
        ratio('seconds'),
        ratio('flops'),
      ],
    ]
  })
  return markdownTable(
    [
      'arm',
      'ranks',
      'trainings',
      'steps',
      'tokens',
      'seconds',
      'processor seconds',
      'TFLOP',
      'time of one LoRA',
      'FLOPs of one LoRA',
    ],
    rows,
  )
}

const ranksOf = ({ ranks }: ArmSummary): string => (ranks.includes(0) ? 'all weights' : rankList(ranks))

function paperSection({ base }: Results): string[] {
  const rows = paperE2e.map(
    ({ method, rank, bleu, nist, rougeL, cider }): Row => [
      method,
      rank === null ? 'all weights' : String(rank),
      bleu.toFixed(2),
      nist.toFixed(2),
      rougeL.toFixed(2),
      cider.toFixed(2),
    ],
  )
  return [
    "## The paper's numbers",
    `DyLoRA (Valipour et al., EACL 2023), table 6: E2E test, GPT-2 Medium, highest rank 4, beam search with 10 beams. The base here is ${base.name} with ${base.parameters.toLocaleString('en')} parameters, about ${Math.round(355e6 / base.parameters)} times smaller, pretrained on other text and decoded greedily: **levels are not comparable with the tables above, differences between methods and ranks are.**`,
    markdownTable(['method', 'rank', 'BLEU', 'NIST', 'ROUGE-L (x 100)', 'CIDEr'], rows),
  ]
}

/** The settings of each training of the first seed that are not the same in all of them. */
function settingsSection({ runs }: Results): string[] {
  const [first] = runs
  if (first === undefined) return []
  const ofSeed = runs.filter(({ seed }) => seed === first.seed)
  const names = [...new Set(ofSeed.flatMap(({ settings }) => Object.keys(settings)))].filter((name) => name !== 'seed')
  const text = (value: unknown) => (value === undefined ? '' : String(value))
  const varying = names.filter((name) => new Set(ofSeed.map(({ settings }) => text(settings[name]))).size > 1)
  const shared = names.filter((name) => !varying.includes(name))
  const rows = ofSeed.map(
    ({ id, settings }): Row => [id.replace(/-seed\d+$/, ''), ...varying.map((name) => text(settings[name]))],
  )
  return [
    '## Settings',
    `All trainings: ${shared.map((name) => `${name} ${text(first.settings[name])}`).join(', ')}.`,
    markdownTable(['training', ...varying], rows),
  ]
}
