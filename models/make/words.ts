/** Word lists that names are put together from. Written for this project. */
const list = (text: string): readonly string[] => text.trim().split(/\s+/)

export const nouns = list(`
Anchor Apple Arch Arrow Badger Bakery Balcony Barley Barn Barrel Basil Basket Beacon Bear Beehive Bell Berry Birch Bishop Blossom
Boat Bottle Branch Brewer Bridge Brook Buffalo Butcher Butterfly Cabin Candle Captain Carpenter Carriage Castle Cat Cauldron Cedar
Cellar Cherry Chestnut Chimney Clock Cloud Clover Coach Cobbler Comet Compass Copper Coral Corner Cottage Crane Crescent Crown Crow
Cup Cypress Dairy Daisy Deer Diamond Dolphin Donkey Door Dove Dragon Drum Duck Duke Duchess Dumpling Eagle Elephant Elm Ember Falcon
Farmer Feather Fern Ferry Fiddle Fig Fisherman Flag Flame Flute Foal Forge Fork Fountain Fox Gallery Garden Garnet Gate Ginger Glass
Globe Goat Goose Granary Grape Grove Gull Hammer Harbour Hare Harp Hart Harvest Hatter Hawk Hazel Hearth Hedgehog Hen Hermit Heron
Hive Holly Honey Horn Horse Horseshoe Hound House Hunter Inn Iris Island Ivy Jasmine Jewel Jug Juniper Kettle Key King Kiln Kite
Kitchen Knight Ladder Lamb Lamp Lantern Larder Lark Laurel Leaf Lemon Library Light Lily Lion Lobster Lodge Loft Loom Lotus Magnet
Magnolia Magpie Mallard Mango Maple Mariner Market Mason Meadow Melon Merchant Mermaid Mill Miller Mint Mirror Monk Moon Moor Mortar
Mountain Mulberry Mushroom Needle Nest Nightingale Noodle Nutmeg Oak Oar Ocean Olive Onion Orange Orchard Otter Oven Owl Ox Oyster
Paddle Palace Palm Panda Pantry Parrot Parsley Peach Peacock Pear Pearl Pebble Pelican Pepper Pheasant Phoenix Piano Pigeon Pilgrim Pilot
Pine Piper Plate Plough Plum Poet Pomegranate Pony Poppy Porch Pot Potter Quail Quarry Queen Quill Rabbit Raft Ram Ranger Raven Reed
Ribbon Rice River Robin Rocket Rooster Root Rose Saddle Saffron Sage Sailor Salmon Salt Scholar Seal Shepherd Shield Ship Shore Siren
Smith Spade Sparrow Spice Spoon Spring Spruce Squirrel Stable Stag Star Station Steamer Stone Stork Stove Sun Swallow Swan Table Tailor
Tavern Tea Temple Terrace Thistle Thyme Tiger Tile Tower Trout Truffle Tulip Turtle Umbrella Valley Vault Vine Violet Violin Walnut
Wanderer Warren Watchman Water Well Whale Wheat Wheel Willow Windmill Wolf Woodman Wren Yard Yew Zebra`)

export const adjectives = list(`
Amber Ancient Autumn Azure Big Black Blue Bold Brass Brave Bright Broken Bronze Brown Busy Calm Clever Cosy Crimson Crooked Curious Dancing
Daring Distant Dizzy Drunken Dusty Early Eastern Electric Emerald Empty Endless Fabulous Famous Fancy Fiery First Flying Foggy Friendly
Frosty Gentle Giant Gilded Glad Golden Good Grand Great Green Grey Grumpy Happy Hidden Hollow Honest Humble Hungry Imperial Indigo Iron
Ivory Jade Jolly Juicy Kind Lame Last Late Laughing Lazy Little Lonely Long Lost Loud Lucky Magic Marble Merry Midnight Mighty Misty Modern
Morning Narrow Noble Northern Odd Old Painted Pale Perfect Pink Plain Polite Proud Purple Quick Quiet Rambling Rapid Red Restless Rising
Roaming Royal Running Rustic Sacred Salty Scarlet Second Secret Seven Shady Sharp Shining Silent Silk Silver Singing Sleepy Slow Small
Smiling Smoky Snowy Southern Sparkling Spicy Spotted Stormy Stray Striped Sunny Sweet Swift Tall Tasty Three Thirsty Tiny Tipsy Twin Twisted
Two Upper Velvet Wandering Warm Weeping Western Whistling White Wicked Wild Windy Winter Wise Wooden Yellow Young Zesty`)

export const surnames = list(`
Abbott Adler Aldridge Anderson Archer Ashdown Atkins Bailey Baker Barlow Barnes Barton Beckett Bellamy Bennett Blackwood Booth Bowen Bradley
Brennan Briggs Bruno Bryant Burton Byrne Callahan Campbell Carlson Carter Castillo Chandler Chaudhry Clarke Coleman Conti Cooper Costa Crawford
Cunningham Dalton Davies Delgado Dixon Donovan Dubois Duncan Edwards Eliasson Ellis Emerson Evans Farrell Fernandez Fischer Fletcher Foster
Fraser Gallagher Garcia Gibson Giordano Graham Greene Griffin Gupta Hale Hansen Harper Harrington Hart Hayes Henderson Hoffman Holmes Hughes
Ibrahim Ingram Jackson Jansen Jenkins Johnson Kaur Keller Kennedy Khan Kimura Kowalski Lambert Lang Larsen Lawson Lee Lindgren Lopez Lowe
Macdonald Malik Marino Marshall Martin Mason Mendoza Meyer Mitchell Moreau Morgan Morris Murphy Nakamura Nash Nelson Newton Nguyen Novak
Nowak Oakley Okafor Olsen Osborne Owens Palmer Parker Patel Pearson Perez Perry Peters Petrov Phillips Porter Price Quinn Ramirez Reed Reid
Reynolds Ricci Richards Rivera Roberts Romano Rossi Russell Ryan Sanders Santos Sato Schmidt Schneider Scott Sharma Shaw Silva Simmons Singh
Slater Spencer Stevens Stewart Stone Sullivan Suzuki Tanaka Taylor Thompson Thornton Torres Turner Ueda Vance Vargas Vaughan Vogel Wagner
Walker Wallace Ward Watson Weaver Weber Webster West Whitaker Williams Wilson Winters Wong Woods Wright Yamada Young Zhang Zimmerman`)

export const givenNames = list(`
Aaron Abigail Adam Adrian Agnes Ahmed Aisha Alan Albert Alice Amanda Amelia Amir Amy Ana Andre Angela Anita Anna Anton Arthur Astrid Audrey
Barbara Beatrice Benjamin Bernard Bianca Boris Brenda Brian Bruno Caleb Camille Carla Carlos Carmen Caroline Cecilia Charles Charlotte Chloe
Clara Claire Colin Dalia Daniel Daphne David Deborah Diana Diego Dora Edgar Edith Edward Elena Eli Elizabeth Ella Emil Emily Emma Eric Esther
Ethan Eva Fatima Felix Fiona Florence Frances Frank Freya Gabriel George Georgia Gloria Grace Greta Hanna Harold Harriet Hassan Hector Helen
Henry Hugo Ian Ida Igor Ingrid Irene Isaac Isabel Ivan Jacob James Jana Jane Jasper Jean Joan Joel John Jonas Joseph Julia Karen Karim Kate
Keiko Laila Lars Laura Leah Leo Leonard Lewis Lina Louis Lucas Lucy Luis Lydia Magnus Marco Margaret Maria Mark Martha Martin Mary Matthew Maya
Miles Miriam Mona Nadia Naomi Nathan Nina Noah Nora Oliver Olga Omar Oscar Otto Paula Pedro Peter Philip Priya Rachel Ralph Ravi Rebecca Robert
Rosa Ruth Samir Samuel Sandra Sara Sebastian Simon Sofia Stella Stephen Susan Tara Teresa Thomas Tobias Ursula Vera Victor Vincent Violet Walter
Wendy William Xavier Yasmin Yusuf Zoe`)

/** What venues call themselves after a name. */
export const venueNouns = list(`
Arms Bakehouse Bar Bistro Brasserie Cafe Café Canteen Cantina Cuisine Deli Diner Dining Eatery Express Garden Grill Hall Hotel House Inn Kitchen
Lounge Osteria Palace Pantry Pizzeria Place Plaza Ranch Rooms Room Spice Steakhouse Table Tandoori Taproom Tavern Tearoom Terrace Trattoria
Vegetarian Wok`)

export const placeEndings = list(`
borough bridge brook burgh bury by cliff combe dale field ford gate ham haven hill holm hurst ley mere mill minster mouth pool port stead ston
ton vale wick wood worth`)

export const placeStarts = list(`
Al Ash Bar Bex Black Bram Brans Cald Cam Carl Chester Clay Cor Cray Dar Dun East Edge Elms Fair Farn Glen Grims Hart Haver Hazel Hol Hunt
Kel King Lang Lin Long Mal Mar Mel Mid Nether New Nor Oak Ox Pem Pen Quar Raven Red Ris Roch Sal Sher Stan Stock Strat Sutter Thorn Til Wake
Wal Wex Whit Win Wol Wood York`)
